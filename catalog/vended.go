package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/auditlake/auditlake/storage"
)

// vendor keeps what a REST catalog says of how each table's files are reached,
// and asks it again before keys expire. One table's keys are used below its own
// location only.
type vendor struct {
	cat *Catalog

	mu   sync.Mutex
	keys map[string]*storage.Keys // by table location
}

func newVendor(c *Catalog) *vendor { return &vendor{cat: c, keys: map[string]*storage.Keys{}} }

// equip makes a loaded table use the storage that the catalog says, for as long
// as the table is used.
func (v *vendor) equip(ctx context.Context, t *table.Table) (*table.Table, error) {
	said, err := propertiesOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := v.note(t.Identifier(), t.Location(), said); err != nil {
		return nil, err
	}
	location, cfg := t.Location(), v.cat.cfg.Storage
	open := func(ctx context.Context) (iceio.IO, error) {
		io, err := storage.New(ctx, location, cfg)
		if err != nil {
			return nil, err
		}
		return tidied{io}, nil
	}
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), open, v.cat.ice), nil
}

// tidied is a FileIO to which a file that is gone is removed: a REST server trims
// old metadata files itself, and iceberg-go wants to as well.
type tidied struct{ storage.FileIO }

func (f tidied) Remove(name string) error {
	_, err := f.DeleteFiles(context.Background(), []string{name})
	return err
}

// propertiesOf are what a REST catalog said with a table: its own, overlaid by the
// table's.
func propertiesOf(ctx context.Context, t *table.Table) (map[string]string, error) {
	var said map[string]string
	_, err := t.FS(storage.CatchProperties(ctx, &said))
	if said == nil {
		if err == nil {
			err = errors.New("iceberg-go opened its storage by itself")
		}
		return nil, err
	}
	return said, nil
}

// note takes over what was said of a table's storage, and forgets what was said before.
func (v *vendor) note(ident table.Identifier, location string, said map[string]string) error {
	cfg := v.cat.cfg.Storage.S3
	for key, to := range map[string]*string{iceio.S3EndpointURL: &cfg.Endpoint, iceio.S3ClientRegion: &cfg.Region, iceio.S3Region: &cfg.Region} {
		if value := said[key]; value != "" && (key != iceio.S3ClientRegion || said[iceio.S3Region] == "") {
			*to = value
		}
	}
	if style, ok := said["s3.path-style-access"]; ok {
		cfg.PathStyle, _ = strconv.ParseBool(style) // anything else is no
	}
	if key, ok := keyOf(said); ok && !v.cat.cfg.REST.NoVendedCredentials {
		cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken = "", "", ""
		cfg.Keys = v.keysOf(ident, location, key)
	}
	v.cat.cfg.Storage.Vended.Set(location, cfg)
	return nil
}

// keyOf finds the key in what was said, if the catalog gives one.
func keyOf(said map[string]string) (key storage.Key, ok bool) {
	key = storage.Key{
		AccessKeyID: said[iceio.S3AccessKeyID], SecretAccessKey: said[iceio.S3SecretAccessKey], SessionToken: said[iceio.S3SessionToken],
	}
	for _, name := range []string{"s3.session-token-expires-at-ms", "expiration-time"} {
		if ms, err := strconv.ParseInt(said[name], 10, 64); err == nil && ms > 0 {
			key.Expires = time.UnixMilli(ms)
			break
		}
	}
	return key, key.AccessKeyID != "" && key.SecretAccessKey != ""
}

// keysOf is the source of one table's keys; key is the newest.
func (v *vendor) keysOf(ident table.Identifier, location string, key storage.Key) *storage.Keys {
	v.mu.Lock()
	defer v.mu.Unlock()
	keys, ok := v.keys[location]
	if ok {
		keys.Put(key)
		return keys
	}
	keys = storage.NewKeys(key, func(ctx context.Context) (storage.Key, error) {
		t, err := v.cat.ice.LoadTable(ctx, ident)
		if err != nil {
			return storage.Key{}, err
		}
		said, err := propertiesOf(ctx, t)
		if err != nil {
			return storage.Key{}, err
		}
		key, ok := keyOf(said)
		if !ok || t.Location() != location {
			return storage.Key{}, fmt.Errorf("the catalog gives no key for %s any more", location)
		}
		return key, nil
	})
	v.keys[location] = keys
	return keys
}

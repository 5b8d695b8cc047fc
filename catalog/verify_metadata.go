package catalog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/auditlake/auditlake/storage"
)

// damagedMetadata looks for the metadata files that kept a table from being
// loaded or planned: those that are gone or cannot be decoded. t is nil if
// loading failed. It finds nothing where the cause is another one, such as a
// connection or a permission; the error that the caller has says more then.
func (c *Catalog) damagedMetadata(ctx context.Context, name string, t *Table) []Problem {
	d := &metadataDoctor{table: name, cfg: c.cfg.Storage}
	if t == nil {
		location, err := c.metadataLocation(ctx, name)
		if err != nil {
			return nil
		}
		d.look(ctx, location, "metadata file", func(data []byte) error {
			_, err := table.ParseMetadataBytes(data)
			return err
		})
		return d.found
	}
	snap := t.ice.CurrentSnapshot()
	if snap == nil {
		return nil
	}
	var manifests []iceberg.ManifestFile
	d.look(ctx, snap.ManifestList, "manifest list", func(data []byte) (err error) {
		manifests, err = iceberg.ReadManifestList(bytes.NewReader(data))
		return err
	})
	for _, m := range manifests {
		d.look(ctx, m.FilePath(), "manifest", func(data []byte) error {
			_, err := iceberg.ReadManifest(m, bytes.NewReader(data), false)
			return err
		})
	}
	return d.found
}

// metadataLocation asks the SQL catalog itself: iceberg-go tells only of tables
// that it can load. Other catalogs are not asked: REST ones read the file for us.
func (c *Catalog) metadataLocation(ctx context.Context, name string) (string, error) {
	if c.db == nil {
		return "", errors.ErrUnsupported
	}
	var location sql.NullString
	err := c.db.QueryRowContext(ctx, // SQLite knows $1 too
		"SELECT metadata_location FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3",
		c.cfg.Name, c.cfg.Namespace, name).Scan(&location)
	return location.String, err
}

type metadataDoctor struct {
	table string
	cfg   storage.Config
	found []Problem
}

func (d *metadataDoctor) look(ctx context.Context, uri, what string, decode func([]byte) error) {
	store, err := storage.New(ctx, uri, d.cfg)
	if err != nil {
		return
	}
	data, err := store.ReadFile(uri)
	state := "is gone"
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return
	default:
		if err = decodeSafely(data, decode); err == nil {
			return
		}
		state = fmt.Sprintf("cannot be decoded (%v)", err)
	}
	d.found = append(d.found, Problem{Kind: "metadata_unreadable", Table: d.table, File: uri, Text: fmt.Sprintf(
		"%s %s of %s %s: the warehouse must be restored from a backup", what, uri, d.table, state)})
}

// decodeSafely makes an error of a panic over damaged bytes.
func decodeSafely(data []byte, decode func([]byte) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return decode(data)
}

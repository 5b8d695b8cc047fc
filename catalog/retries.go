package catalog

import (
	"encoding/json"
	"strings"

	"github.com/apache/iceberg-go/table"
)

// retryProperties are how often and for how long an engine tries its commits again,
// which is up to whoever maintains the table: Spark's, Trino's, PyIceberg's.
const retryProperties = "commit.retry."

// withoutRetries is a table of whose properties iceberg-go sees none that have it try
// a commit again, in memory only. Retries live in Commit alone: a library that replays
// a stale append onto a new head would defeat the check of the offsets, and what the
// properties say of waits and timeouts is not meant for us either.
func (c *Catalog) withoutRetries(t *table.Table) (*table.Table, error) {
	said := false
	for key, value := range t.Properties() {
		// None is what we want: so do tables that were made when we said so there.
		none := key == table.CommitNumRetriesKey && value == "0"
		said = said || strings.HasPrefix(key, retryProperties) && !none
	}
	if !said {
		return t, nil
	}
	text, err := json.Marshal(t.Metadata())
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	var properties map[string]string
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(fields["properties"], &properties); err != nil {
		return nil, err
	}
	for key := range properties {
		if strings.HasPrefix(key, retryProperties) {
			delete(properties, key)
		}
	}
	if fields["properties"], err = json.Marshal(properties); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	meta, err := table.ParseMetadataBytes(text)
	if err != nil {
		return nil, err
	}
	return table.New(t.Identifier(), meta, t.MetadataLocation(), t.FS, c.ice), nil
}

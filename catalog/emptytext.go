package catalog

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// iceberg-go 0.7 writes the empty text as NULL where it is a bound in the
// partition summary of a manifest. Spark and PyIceberg take a NULL bound for
// "nothing but NULL in here" and leave the whole manifest out when they look for a
// value, so rows that are there would not be found. What is staged is mended
// before it is committed; lists made of it later keep what was mended.

// mendEmptyText writes the staged manifest list again if one of the files lies in
// a table partition of the empty text.
func (t *Table) mendEmptyText(ctx context.Context, tx *table.Transaction, files []iceberg.DataFile) error {
	empty := t.emptyTextFields(files)
	if !slices.Contains(empty, true) {
		return nil
	}
	if v := t.ice.Metadata().Version(); v != 2 {
		return &ConfigError{Text: fmt.Sprintf("table %s has Iceberg format v%d and a row with the empty text in a partition column: this release writes that to format v2 only", t.name, v)}
	}
	staged, err := tx.StagedTable()
	if err != nil {
		return err
	}
	io, err := t.ice.FS(ctx)
	if err != nil {
		return fmt.Errorf("open storage of table %s: %w", t.name, err)
	}
	wio, ok := io.(iceio.WriteFileIO)
	if !ok {
		return fmt.Errorf("storage of table %s is read-only", t.name)
	}
	snap := staged.CurrentSnapshot()
	manifests, err := snap.Manifests(io)
	if err != nil {
		return fmt.Errorf("read manifest list %s: %w", snap.ManifestList, err)
	}
	for i, m := range manifests {
		if m.SnapshotID() == snap.SnapshotID {
			manifests[i] = withEmptyText(m, empty)
		}
	}
	if err := writeManifestList(wio, snap, manifests); err != nil {
		return fmt.Errorf("write manifest list %s: %w", snap.ManifestList, err)
	}
	return nil
}

// emptyTextFields tells of which partition fields a file has the empty text.
func (t *Table) emptyTextFields(files []iceberg.DataFile) []bool {
	spec := t.ice.Spec()
	out := make([]bool, spec.NumFields())
	for _, f := range files {
		values := f.Partition()
		for i := range out {
			if text, ok := values[spec.Field(i).FieldID].(string); ok && text == "" {
				out[i] = true
			}
		}
	}
	return out
}

// withEmptyText is the manifest with the bound that was lost.
func withEmptyText(m iceberg.ManifestFile, empty []bool) iceberg.ManifestFile {
	summaries := m.Partitions()
	for i := range summaries {
		if !empty[i] {
			continue
		}
		for _, bound := range []**[]byte{&summaries[i].LowerBound, &summaries[i].UpperBound} {
			if *bound == nil {
				*bound = &[]byte{}
			}
		}
	}
	return iceberg.NewManifestFile(m.Version(), m.FilePath(), m.Length(), m.PartitionSpecID(), m.SnapshotID()).
		SequenceNum(m.SequenceNum(), m.MinSequenceNum()).Content(m.ManifestContent()).
		AddedFiles(m.AddedDataFiles()).ExistingFiles(m.ExistingDataFiles()).DeletedFiles(m.DeletedDataFiles()).
		AddedRows(m.AddedRows()).ExistingRows(m.ExistingRows()).DeletedRows(m.DeletedRows()).
		Partitions(summaries).KeyMetadata(m.KeyMetadata()).Build()
}

// writeManifestList replaces the list; nothing refers to it yet.
func writeManifestList(io iceio.WriteFileIO, snap *table.Snapshot, manifests []iceberg.ManifestFile) error {
	var out bytes.Buffer
	sequence := snap.SequenceNumber
	if err := iceberg.WriteManifestList(2, &out, snap.SnapshotID, snap.ParentSnapshotID, &sequence, 0, manifests); err != nil {
		return err
	}
	return io.WriteFile(snap.ManifestList, out.Bytes())
}

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

// mendEmptyText writes the staged manifest list again if it holds a manifest that
// lost such a bound: of the added files, or merged of earlier manifests.
func (t *Table) mendEmptyText(ctx context.Context, tx *table.Transaction) error {
	fields := t.emptyTextFields()
	if len(fields) == 0 {
		return nil
	}
	staged, err := tx.StagedTable()
	if err != nil {
		return err
	}
	io, err := t.ice.FS(ctx)
	if err != nil {
		return fmt.Errorf("open storage of table %s: %w", t.name, err)
	}
	snap := staged.CurrentSnapshot()
	manifests, err := snap.Manifests(io)
	if err != nil {
		return fmt.Errorf("read manifest list %s: %w", snap.ManifestList, err)
	}
	mended := false
	for i, m := range manifests {
		if m.SnapshotID() != snap.SnapshotID {
			continue
		}
		lost, err := lostBounds(io, m, fields[int(m.PartitionSpecID())])
		if err != nil {
			return fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
		}
		if len(lost) > 0 {
			manifests[i], mended = withEmptyText(m, lost), true
		}
	}
	if !mended {
		return nil
	}
	if v := t.ice.Metadata().Version(); v != 2 {
		return &ConfigError{Text: fmt.Sprintf("table %s has Iceberg format v%d and a row with the empty text in a partition column: this release writes that to format v2 only", t.name, v)}
	}
	wio, ok := io.(iceio.WriteFileIO)
	if !ok {
		return fmt.Errorf("storage of table %s is read-only", t.name)
	}
	if err := writeManifestList(wio, snap, manifests); err != nil {
		return fmt.Errorf("write manifest list %s: %w", snap.ManifestList, err)
	}
	return nil
}

// textField is a partition field whose value may be the empty text.
type textField struct{ position, id int }

// emptyTextFields lists them for every partition spec of the table. Texts that are
// never NULL are never empty either: the envelope sees to that.
func (t *Table) emptyTextFields() map[int][]textField {
	out := map[int][]textField{}
	for _, spec := range t.ice.Metadata().PartitionSpecs() {
		for i, f := range spec.Fields() {
			switch f.Transform.(type) {
			case iceberg.IdentityTransform, iceberg.TruncateTransform:
			default:
				continue
			}
			source, ok := t.ice.Schema().FindFieldByID(f.SourceID())
			if ok && (source.Required || !source.Type.Equals(iceberg.PrimitiveTypes.String)) {
				continue
			}
			out[spec.ID()] = append(out[spec.ID()], textField{i, f.FieldID})
		}
	}
	return out
}

// lostBounds lists the positions of fields whose summary lost a bound. It reads
// the manifest only where the summary could also mean that all values are NULL.
func lostBounds(io iceio.IO, m iceberg.ManifestFile, fields []textField) ([]int, error) {
	var lost []int
	var doubtful []textField
	summaries := m.Partitions()
	for _, f := range fields {
		if f.position >= len(summaries) {
			continue
		}
		s := summaries[f.position]
		switch {
		case s.LowerBound != nil:
		case s.UpperBound != nil || !s.ContainsNull:
			lost = append(lost, f.position)
		default:
			doubtful = append(doubtful, f)
		}
	}
	if len(doubtful) == 0 {
		return lost, nil
	}
	for e, err := range m.Entries(io, true) {
		if err != nil {
			return nil, err
		}
		values := e.DataFile().Partition()
		for _, f := range doubtful {
			if values[f.id] == "" && !slices.Contains(lost, f.position) {
				lost = append(lost, f.position)
			}
		}
	}
	return lost, nil
}

// withEmptyText is the manifest with the bounds that were lost.
func withEmptyText(m iceberg.ManifestFile, lost []int) iceberg.ManifestFile {
	summaries := m.Partitions()
	for _, i := range lost {
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

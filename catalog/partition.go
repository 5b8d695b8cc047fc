package catalog

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
)

// ParsePartitionBy makes a partition spec of terms such as "event_class",
// "day(event_time)", "bucket[16](session_id)" or "truncate[8](tenant)": a
// column, or one of Iceberg's transforms of a column.
func ParsePartitionBy(schema *iceberg.Schema, terms []string) (*iceberg.PartitionSpec, error) {
	var opts []iceberg.PartitionOption
	for i, term := range terms {
		transform, column := "identity", strings.TrimSpace(term)
		if open := strings.IndexByte(column, '('); open > 0 && strings.HasSuffix(column, ")") {
			transform, column = column[:open], column[open+1:len(column)-1]
		}
		tr, err := iceberg.ParseTransform(strings.TrimSpace(transform))
		if _, unknown := tr.(iceberg.UnknownTransform); err != nil || unknown {
			return nil, fmt.Errorf("partition term %q: unknown transform %q: use a column, or year, month, day, hour, bucket[N], truncate[W] of one", term, transform)
		}
		field, ok := schema.FindFieldByName(strings.TrimSpace(column))
		if !ok {
			return nil, fmt.Errorf("partition term %q: no column %q", term, column)
		}
		if !tr.CanTransform(field.Type) {
			return nil, fmt.Errorf("partition term %q: %s does not apply to %s, which is %s", term, tr, field.Name, field.Type)
		}
		id := 1000 + i
		opts = append(opts, iceberg.AddPartitionFieldByName(field.Name, partitionName(field.Name, tr), tr, schema, &id))
	}
	spec, err := iceberg.NewPartitionSpecOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("partition spec %v: %w", terms, err)
	}
	return &spec, nil
}

// partitionName follows what Spark and PyIceberg call their partition fields.
func partitionName(column string, tr iceberg.Transform) string {
	switch tr.(type) {
	case iceberg.IdentityTransform:
		return column
	case iceberg.BucketTransform:
		return column + "_bucket"
	case iceberg.TruncateTransform:
		return column + "_trunc"
	}
	return column + "_" + tr.String()
}

// PartitionField is one field of a table's partition spec: which column's value
// a row must be asked for.
type PartitionField struct {
	Column string
	id     int
	source iceberg.Type
	tr     iceberg.Transform
}

// PartitionValue is the value of a partition field's column in one row. Text
// columns use Text, timestamps (microseconds) and integers use Int.
type PartitionValue struct {
	Null bool
	Text []byte
	Int  int64
}

// PartitionFields returns the fields of the table's current partition spec.
func (t *Table) PartitionFields() ([]PartitionField, error) {
	spec := t.ice.Spec()
	var out []PartitionField
	for _, f := range spec.Fields() {
		src, ok := t.ice.Schema().FindFieldByID(f.SourceID())
		if !ok {
			return nil, &ConfigError{Text: fmt.Sprintf("table %s is partitioned by %s, whose column another engine dropped: change its partition spec", t.name, f.Name)}
		}
		if !writable(src.Type) {
			return nil, &ConfigError{Text: fmt.Sprintf(
				"table %s is partitioned by %s of type %s: the sink can partition by text, timestamps and integers", t.name, src.Name, src.Type)}
		}
		out = append(out, PartitionField{Column: src.Name, id: f.FieldID, source: src.Type, tr: f.Transform})
	}
	return out, nil
}

// writable reports whether the sink knows partition values of this type.
func writable(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.StringType, iceberg.TimestampTzType, iceberg.Int32Type, iceberg.Int64Type:
		return true
	}
	return false
}

// PartitionColumns returns the columns that a partition spec for a table is by,
// or why there can be no such spec; see [ParsePartitionBy].
func PartitionColumns(name string, terms []string) ([]string, error) {
	def, ok := definition(name)
	if !ok {
		return nil, fmt.Errorf("there is no table %s", name)
	}
	spec, err := ParsePartitionBy(def.Schema, terms)
	if err != nil {
		return nil, err
	}
	var columns []string
	for _, f := range spec.Fields() {
		src, _ := def.Schema.FindFieldByID(f.SourceID())
		if !writable(src.Type) {
			return nil, fmt.Errorf("%s is %s: the sink can partition by text, timestamps and integers", src.Name, src.Type)
		}
		columns = append(columns, src.Name)
	}
	return columns, nil
}

const (
	microsPerHour = 3600 * 1e6
	microsPerDay  = 24 * microsPerHour
)

// AppendKey appends to dst a key that two rows share if, and only if, they are
// in the same table partition as far as this field decides. It is on the hot
// path: the transforms of the default partition spec are done without iceberg-go.
func (f *PartitionField) AppendKey(dst []byte, v PartitionValue) []byte {
	if v.Null {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch f.tr.(type) {
	case iceberg.DayTransform:
		return binary.LittleEndian.AppendUint64(dst, uint64(floorDiv(v.Int, microsPerDay)))
	case iceberg.HourTransform:
		return binary.LittleEndian.AppendUint64(dst, uint64(floorDiv(v.Int, microsPerHour)))
	case iceberg.IdentityTransform:
		if _, ok := f.source.(iceberg.StringType); ok {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v.Text)))
			return append(dst, v.Text...)
		}
		return binary.LittleEndian.AppendUint64(dst, uint64(v.Int))
	}
	key := fmt.Sprint(f.value(v))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(key)))
	return append(dst, key...)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// value is the partition value as iceberg-go records it: the transform's result.
func (f *PartitionField) value(v PartitionValue) any {
	if v.Null {
		return nil
	}
	var lit iceberg.Literal
	switch f.source.(type) {
	case iceberg.StringType:
		lit = iceberg.StringLiteral(v.Text)
	case iceberg.TimestampTzType:
		lit = iceberg.TimestampLiteral(v.Int)
	case iceberg.Int32Type:
		lit = iceberg.Int32Literal(v.Int)
	default:
		lit = iceberg.Int64Literal(v.Int)
	}
	res := f.tr.Apply(iceberg.Optional[iceberg.Literal]{Valid: true, Val: lit})
	if !res.Valid {
		return nil
	}
	return res.Val.Any()
}

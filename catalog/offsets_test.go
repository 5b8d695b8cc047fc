package catalog

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

func TestOffsetKeyRoundTrip(t *testing.T) {
	for _, tp := range []TopicPartition{testTP, {"", "a.b_c-d", "", 0}, {"a/b c%", "t", "AAAA/++==", 4711}} {
		got, err := parseOffsetKey(offsetKey(tp))
		require.NoError(t, err)
		require.Equal(t, tp, got)
	}
	for _, key := range []string{propOffsets, propOffsets + "a/b/c", propOffsets + "a/b/c/x", propOffsets + "%zz/b/c/1", propOffsets + "a/b/c/1/2"} {
		_, err := parseOffsetKey(key)
		require.Error(t, err, key)
	}
}

func TestRangesRoundTrip(t *testing.T) {
	ranges := []Range{
		{TopicPartition: TopicPartition{"c", "a", "1", 0}, Start: 0, End: 10, Rows: 12, Events: 7, DeadLetters: 1, Holes: []Hole{{3, 4}, {8, 9}}},
		{TopicPartition: TopicPartition{"c", "a", "1", 7}, Start: 1 << 40, End: 1<<40 + 1, Rows: 1, Events: 1, HolesOmitted: 5},
		{TopicPartition: TopicPartition{"c", "b", "2", 0}, Start: 5, End: 5},
	}
	got, err := decodeRanges(encodeRanges(ranges))
	require.NoError(t, err)
	require.Equal(t, ranges, got)
	got, err = decodeRanges("")
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = decodeRanges("{")
	require.Error(t, err)
}

// Two values get the same key exactly when Iceberg's transform gives them the
// same partition value.
func TestAppendKeyAgreesWithTheTransform(t *testing.T) {
	schema := agentEventsSchema()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, term := range []string{"day(event_time)", "hour(event_time)", "month(event_time)", "year(event_time)", "event_class",
		"bucket[4](session_id)", "truncate[2](session_id)", "kafka_partition", "sequence", "truncate[10](sequence)"} {
		spec, err := ParsePartitionBy(schema, []string{term})
		require.NoError(t, err)
		src, _ := schema.FindFieldByID(spec.Field(0).SourceID())
		f := PartitionField{Column: src.Name, id: 1000, source: src.Type, tr: spec.Field(0).Transform}
		byKey, byValue := map[string]any{}, map[any]string{}
		check := func(v PartitionValue) {
			key, value := string(f.AppendKey(nil, v)), f.value(v)
			if had, ok := byKey[key]; ok {
				require.Equal(t, had, value, term)
			}
			if had, ok := byValue[value]; ok {
				require.Equal(t, had, key, term)
			}
			byKey[key], byValue[value] = value, key
		}
		check(PartitionValue{Null: true})
		for range 2000 {
			v := PartitionValue{Text: []byte{byte('a' + rng.IntN(3)), byte('a' + rng.IntN(3)), byte('a' + rng.IntN(3))}, Int: rng.Int64N(100) - 50}
			if _, ok := f.source.(iceberg.TimestampTzType); ok {
				v.Int = rng.Int64N(4*microsPerDay) - 2*microsPerDay
			}
			check(v)
		}
		require.Greater(t, len(byKey), 2, term)
	}
}

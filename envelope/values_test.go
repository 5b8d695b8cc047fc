package envelope

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// absent is what null gives.
type absent struct{}

type valueCase struct {
	attr string // data keys hold a dot
	json string
	col  ColumnID
	want any // nil is a misfit
}

// event is a whole event with the value.
func (c *valueCase) event() string {
	if strings.Contains(c.attr, ".") {
		return "{" + base + `,"data":{"` + c.attr + `":` + c.json + "}}"
	}
	return "{" + base + `,"` + c.attr + `":` + c.json + "}"
}

// valueCases say how values meet their columns.
func valueCases() []valueCase {
	huge := strings.Repeat("9", 400)
	zeros := strings.Repeat("0", 2_000_000)
	return []valueCase{
		{"tenant", `"a"`, ColTenant, "a"},
		{"tenant", `""`, ColTenant, ""},
		{"tenant", `"a\u0000b"`, ColTenant, "a\x00b"},
		{"tenant", `"\u00e9\ud83d\ude00\n\"\\\/\b\f\r\t"`, ColTenant, "é😀\n\"\\/\b\f\r\t"},
		{"tenant", `12.50`, ColTenant, "12.50"},
		{"tenant", `true`, ColTenant, "true"},
		{"tenant", `null`, ColTenant, absent{}},
		{"tenant", `{}`, ColTenant, nil},
		{"tenant", `["a"]`, ColTenant, nil},
		{"sequence", `7`, ColSequence, int64(7)},
		{"sequence", `"0007"`, ColSequence, int64(7)},
		{"sequence", `"-3"`, ColSequence, int64(-3)},
		{"sequence", `"-03"`, ColSequence, int64(-3)},
		{"sequence", `"007.0"`, ColSequence, int64(7)},
		{"sequence", `"00.0e1"`, ColSequence, int64(0)},
		{"sequence", `"--3"`, ColSequence, nil},
		{"sequence", `"0-3"`, ColSequence, nil},
		{"sequence", `"-"`, ColSequence, nil},
		{"sequence", `""`, ColSequence, nil},
		{"sequence", `" 7"`, ColSequence, nil},
		{"sequence", `"9223372036854775807"`, ColSequence, int64(math.MaxInt64)},
		{"sequence", `"00000000000000000000000000000000009223372036854775807"`, ColSequence, int64(math.MaxInt64)},
		{"sequence", `9223372036854775808`, ColSequence, nil},
		{"gen_ai.request.seed", `-9223372036854775808`, ColSeed, int64(math.MinInt64)},
		{"gen_ai.request.seed", `-9223372036854775809`, ColSeed, nil},
		{"gen_ai.request.seed", `922337203685477580e1`, ColSeed, int64(9223372036854775800)},
		{"gen_ai.request.seed", `922337203685477581e1`, ColSeed, nil},
		{"gen_ai.request.seed", `92233720368547758e2`, ColSeed, int64(9223372036854775800)},
		{"gen_ai.request.seed", `-922337203685477580.8e1`, ColSeed, int64(math.MinInt64)},
		{"gen_ai.request.seed", `"12"`, ColSeed, int64(12)},
		{"gen_ai.request.seed", `"012"`, ColSeed, nil},
		{"gen_ai.request.seed", `12.0`, ColSeed, int64(12)},
		{"gen_ai.request.seed", `1e3`, ColSeed, int64(1000)},
		{"gen_ai.request.seed", `1000e-3`, ColSeed, int64(1)},
		{"gen_ai.request.seed", `12.5`, ColSeed, nil},
		{"gen_ai.request.seed", `1e-1`, ColSeed, nil},
		{"gen_ai.request.seed", `-0`, ColSeed, int64(0)},
		{"gen_ai.request.seed", `0e999999999999`, ColSeed, int64(0)},
		{"gen_ai.request.seed", `1e999999999999`, ColSeed, nil},
		{"gen_ai.request.seed", `0.0000000000000000001e19`, ColSeed, int64(1)},
		{"gen_ai.request.seed", "0." + zeros + "12e2000002", ColSeed, int64(12)},
		{"gen_ai.request.seed", "12" + zeros + "e-2000000", ColSeed, int64(12)},
		{"gen_ai.request.seed", huge, ColSeed, nil},
		{"gen_ai.request.seed", `true`, ColSeed, nil},
		{"gen_ai.request.seed", `"1_000"`, ColSeed, nil},
		{"gen_ai.request.seed", `"0x10"`, ColSeed, nil},
		{"gen_ai.usage.input_tokens", `-1`, ColInputTokens, nil},
		{"gen_ai.usage.input_tokens", `"1e2"`, ColInputTokens, int64(100)},
		{"gen_ai.request.temperature", `0.7`, ColTemperature, 0.7},
		{"gen_ai.request.temperature", `"1.5"`, ColTemperature, 1.5},
		{"gen_ai.request.temperature", "0." + zeros + "12e2000002", ColTemperature, 12.0},
		{"gen_ai.request.temperature", "-1" + zeros + "e-2000000", ColTemperature, -1.0},
		{"gen_ai.request.temperature", "1" + zeros[:900] + "e-900", ColTemperature, 1.0},
		{"gen_ai.request.temperature", zeros[:1] + "." + zeros, ColTemperature, 0.0},
		{"gen_ai.request.temperature", "1e-" + huge, ColTemperature, 0.0},
		{"gen_ai.request.temperature", "1e" + huge, ColTemperature, nil},
		{"gen_ai.request.temperature", `1e400`, ColTemperature, nil},
		{"gen_ai.request.temperature", `"inf"`, ColTemperature, nil},
		{"gen_ai.request.temperature", `"1."`, ColTemperature, nil},
		{"audit.duration_ms", `12`, ColDurationMS, 12.0},
		{"gen_ai.response.time_to_first_chunk", `0.25`, ColTimeToFirstChunkMS, 250.0},
		{"gen_ai.response.time_to_first_chunk", `1.001`, ColTimeToFirstChunkMS, 1001.0}, // 1.001 * 1000 is not
		{"gen_ai.response.time_to_first_chunk", `"1e-3"`, ColTimeToFirstChunkMS, 1.0},
		{"gen_ai.response.time_to_first_chunk", `0`, ColTimeToFirstChunkMS, 0.0},
		{"gen_ai.response.time_to_first_chunk", `1e308`, ColTimeToFirstChunkMS, nil},
		{"audit.cost.amount", `0.0042`, ColCostAmount, int64(4_200_000)},
		{"audit.cost.amount", "0." + zeros + "12e2000002", ColCostAmount, int64(12_000_000_000)},
		{"audit.cost.amount", `"1.0000000005"`, ColCostAmount, int64(1_000_000_000)},
		{"audit.cost.amount", `1.0000000015`, ColCostAmount, int64(1_000_000_002)},
		{"audit.cost.amount", `1.00000000150000000000001`, ColCostAmount, int64(1_000_000_002)},
		{"audit.cost.amount", `1.00000000050000000000001`, ColCostAmount, int64(1_000_000_001)},
		{"audit.cost.amount", `1.00000000051`, ColCostAmount, int64(1_000_000_001)},
		{"audit.cost.amount", `1.0000000005100`, ColCostAmount, int64(1_000_000_001)},
		{"audit.cost.amount", `-0.0000000005`, ColCostAmount, int64(0)},
		{"audit.cost.amount", `0.0000000006`, ColCostAmount, int64(1)},
		{"audit.cost.amount", `5e-11`, ColCostAmount, int64(0)},
		{"audit.cost.amount", `999999999.999999999`, ColCostAmount, int64(999_999_999_999_999_999)},
		{"audit.cost.amount", `999999999.9999999996`, ColCostAmount, nil},
		{"audit.cost.amount", `1000000000`, ColCostAmount, nil},
		{"audit.cost.amount", `-12e2`, ColCostAmount, int64(-1_200_000_000_000)},
		{"audit.cost.amount", `1e-999999`, ColCostAmount, int64(0)},
		{"audit.approval.at", `"2026-01-31T13:00:00.1234567+01:00"`, ColApprovedAt, testTime.UnixMicro() + 123456},
		{"audit.approval.at", `"2026-01-31t12:00:00z"`, ColApprovedAt, testTime.UnixMicro()},
		{"audit.approval.at", `"2026-01-31T11:59:60Z"`, ColApprovedAt, testTime.UnixMicro()},
		{"audit.approval.at", `"2026-01-31T11:59:60.5Z"`, ColApprovedAt, testTime.UnixMicro()},
		{"audit.approval.at", `"2026-01-31T12:00:00,5Z"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2026-01-31T12:00:00.Z"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2026-01-31T12:00:00+24:00"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2026-01-31T12:00:00+0100"`, ColApprovedAt, nil},
		{"audit.approval.at", `"2025-02-29T12:00:00Z"`, ColApprovedAt, nil},
		{"audit.approval.at", `1769860800`, ColApprovedAt, nil},
		{"gen_ai.response.finish_reasons", `["stop","length"]`, ColFinishReasons, []string{"stop", "length"}},
		{"gen_ai.response.finish_reasons", `[ "st\u006fp" ]`, ColFinishReasons, []string{"stop"}},
		{"gen_ai.response.finish_reasons", `"stop"`, ColFinishReasons, []string{"stop"}},
		{"gen_ai.response.finish_reasons", `[]`, ColFinishReasons, []string{}},
		{"gen_ai.response.finish_reasons", `["stop",1]`, ColFinishReasons, nil},
		{"gen_ai.response.finish_reasons", `[null]`, ColFinishReasons, nil},
		{"gen_ai.response.finish_reasons", `1`, ColFinishReasons, nil},
		{"traceparent", `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColTraceID, "0af7651916cd43dd8448eb211c80319c"},
		{"traceparent", `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColSpanID, "b7ad6b7169203331"},
		{"traceparent", `"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"`, ColSpanID, "b7ad6b7169203331"},
		{"traceparent", `"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"`, ColSpanID, nil},
		{"traceparent", `"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColSpanID, nil},
		{"traceparent", `"00-00000000000000000000000000000000-b7ad6b7169203331-01"`, ColTraceID, nil},
		{"traceparent", `"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, ColTraceID, nil},
		{"traceparent", `7`, ColTraceID, nil},
		{"gen_ai.conversation.id", `"c"`, ColSessionID, "c"},
		{"gen_ai.agent.version", `3`, ColAgentVersion, "3"},
	}
}

func TestDecodeValues(t *testing.T) {
	d := NewDecoder(DefaultLimits)
	for _, tc := range valueCases() {
		value := tc.event()
		events, err := d.Decode(record(value))
		require.NoError(t, err, value)
		ev := &events[0]
		require.Equal(t, value, string(ev.Payload))
		switch want := tc.want.(type) {
		case nil:
			require.False(t, ev.Has(tc.col), value)
			require.Equal(t, [][]byte{[]byte(tc.attr)}, ev.Misfits, value)
			continue
		case absent:
			require.False(t, ev.Has(tc.col), value)
		case string:
			require.Equal(t, want, string(ev.Value(tc.col).Text), value)
		case int64:
			require.Equal(t, want, ev.Value(tc.col).Int, value)
		case float64:
			require.Equal(t, want, ev.Value(tc.col).Float, value)
		case []string:
			got := []string{}
			for _, s := range ev.Value(tc.col).List {
				got = append(got, string(s))
			}
			require.Equal(t, want, got, value)
		}
		require.Empty(t, ev.Misfits, value)
		_, isAbsent := tc.want.(absent)
		require.Equal(t, !isAbsent, ev.Has(tc.col), value)
	}
}

// Escapes at every boundary, alone and in pairs, cut off at every length.
func TestDecodeEscapes(t *testing.T) {
	d := NewDecoder(DefaultLimits)
	halves := []string{"0000", "001f", "0020", "007f", "0080", "07ff", "0800", "d7ff", "d800", "DBFF", "dc00", "DFFF", "e000", "fffd", "ffff",
		"0g00", "00/0", "0:00", "00`0", "000@", "G000", "00a", ""}
	for _, first := range halves {
		for _, second := range halves {
			text := `\u` + first + `\u` + second
			whole := "{" + base + `,"tenant":"`
			bothReadings(t, d, []byte(whole+text+`"}`))
			bothReadings(t, d, []byte(whole+text[:len(text)/2]+`"}`))
			bothReadings(t, d, []byte(whole+text+`","`+text+`":1}`))
			for cut := range len(text) {
				bothReadings(t, d, []byte(whole+text[:cut]))
			}
		}
	}
	for c := range 128 {
		bothReadings(t, d, []byte("{"+base+`,"tenant":"`+string([]byte{'\\', byte(c)})+`"}`))
		bothReadings(t, d, []byte("{"+base+`,"tenant":"`+string([]byte{byte(c)})+`"}`))
		bothReadings(t, d, []byte("{"+base+`,"tenant":`+string([]byte{byte(c)})+`}`))
	}
}

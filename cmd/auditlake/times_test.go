package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"now":                       now,
		"7d":                        now.AddDate(0, 0, -7),
		"90s":                       now.Add(-90 * time.Second),
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		"2026-03-01T10:00:00+02:00": time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC),
	} {
		got, err := parseTime("from", text, now)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	_, err := parseTime("from", "yesterday", now)
	require.ErrorContains(t, err, `--from: "yesterday" is not a time: write 2026-03-14`)
}

func TestScanFlagsThatContradict(t *testing.T) {
	_, err := (&scanFlags{from: "2026-03-02", to: "2026-03-01"}).parse(time.Now())
	require.ErrorContains(t, err, "nothing lies between them")
	_, err = (&scanFlags{snapshot: 1, asOf: "now"}).parse(time.Now())
	require.ErrorContains(t, err, "give one of them")
}

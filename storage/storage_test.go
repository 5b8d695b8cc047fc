package storage_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/storage"
)

func TestNormalize(t *testing.T) {
	for location, want := range map[string]string{
		"/lake/wh":                  "file:///lake/wh",
		"/lake//wh/../wh/":          "file:///lake/wh",
		"file:///lake/wh/":          "file:///lake/wh",
		"file:/lake":                "file:///lake",
		"file://localhost/lake":     "file:///lake",
		"s3://bucket":               "s3://bucket",
		"s3://bucket/":              "s3://bucket",
		"s3a://bucket/a/b/":         "s3://bucket/a/b",
		"S3://bucket/day=1/x_y-z.w": "s3://bucket/day=1/x_y-z.w",
		"s3://bucket/a%20b":         "s3://bucket/a%20b", // these very characters
	} {
		got, err := storage.Normalize(location)
		require.NoError(t, err, location)
		require.Equal(t, want, got)
		again, err := storage.Normalize(got)
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
	for location, want := range map[string]string{
		"":                "is not absolute: write /folder, file:///folder or s3://bucket/prefix",
		"./lake":          "is not absolute",
		"s3:/bucket":      "is not absolute",
		"/":               "is the root of the file system: name a folder in it",
		"file:///":        "is the root of the file system",
		"file://host/x":   "names another host",
		"s3://":           `"s3://" has no bucket: write s3://bucket/prefix`,
		"s3:///x":         "has no bucket",
		"gs://b/x":        `storage "gs://" of "gs://b/x" is not supported: use a folder, file:///folder or s3://bucket/prefix`,
		"https://host/x":  "is not supported",
		"/my lake":        "cannot hold tables, since iceberg-go would write their metadata to file:///my%20lake: use a name of letters, digits and . _ - =",
		"/a%2":            "cannot hold tables, since Iceberg locations are URLs: use a name without %",
		"s3://b/what?":    "cannot hold tables",
		"s3://b/number#1": "cannot hold tables",
		"s3://b//a":       "cannot hold tables",
		"/ünder":          "cannot hold tables",
	} {
		_, err := storage.Normalize(location)
		require.ErrorContains(t, err, want, location)
	}
}

func TestNewKnowsTwoKinds(t *testing.T) {
	_, err := storage.New(context.Background(), "gs://bucket/f", storage.Config{})
	require.EqualError(t, err, `storage "gs://" of "gs://bucket/f" is not supported: use a folder, file:///folder or s3://bucket/prefix`)
}

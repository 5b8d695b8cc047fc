package storage

import (
	"fmt"
	"strings"
)

// S3Config says how an object store is reached. It is comparable: equal configs
// share one client.
type S3Config struct {
	Endpoint        string // URL; empty means AWS
	Region          string
	PathStyle       bool   // bucket in the path, not in the host name
	AccessKeyID     string // empty: the SDK's default chain
	SecretAccessKey string
	SessionToken    string
	PartSize        int64 // bytes of a part of an upload; 0 means 8 MiB, at least 5 MiB
	MaxAttempts     int   // tries of a request, the first included; 0 means 5
}

// splitS3 takes bucket and key out of an s3:// location, as they stand.
func splitS3(location string) (bucket, key string, err error) {
	switch scheme := schemeOf(location); scheme {
	case "s3", "s3a":
	default:
		return "", "", fmt.Errorf("%q is not on S3: write s3://bucket/key", location)
	}
	_, rest, _ := strings.Cut(location, "://")
	bucket, key, _ = strings.Cut(rest, "/")
	if bucket == "" {
		return "", "", fmt.Errorf("%q has no bucket: write s3://bucket/prefix", location)
	}
	return bucket, key, nil
}

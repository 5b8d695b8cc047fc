package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/storage/storagetest"
)

// The main path with the warehouse on S3, a real server.
func TestMainPathOnS3(t *testing.T) {
	s3 := storagetest.StartS3(t, "lake")
	l := newLab(t, "warehouse: s3://lake/warehouse",
		fmt.Sprintf("s3: {endpoint: %q, region: %s, path_style: true, access_key_id: %s, secret_access_key: %s}",
			s3.Endpoint, s3.Region, s3.AccessKeyID, s3.SecretAccessKey),
		fmt.Sprintf("sql: {cache_dir: %q}", t.TempDir()))
	for i := range 300 {
		l.send(recordOf(i%3, prompt(i)), recordOf(i%3, fmt.Appendf(nil, "no event %d", i)))
	}
	l.catchUp()
	l.requireVerified()
	require.EqualValues(t, 300, l.value(`SELECT count(*) FROM agent_events`))
	require.Equal(t, "no event 7", l.must("dead-letters", "show", labTopic+"/1/5"))

	r := call(t, "-c", writeFile(t, l.dir, "wrong.yaml", replaceOne(t, readFile(t, l.config), s3.SecretAccessKey, "wrong-secret")), "verify")
	require.Equal(t, exitUsage, r.code)
	require.NotContains(t, r.stderr, "wrong-secret")
}

package catalogtest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/storage"
	"github.com/auditlake/auditlake/storage/storagetest"
)

func TestPostgresComesBackWithItsDataAfterACrash(t *testing.T) {
	p := StartPostgres(t)
	p.Exec("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
	p.Kill()
	p.Start()
	p.Exec("INSERT INTO t VALUES (2)")
	p.Stop()
	p.Start()
	p.Exec("DO $$ BEGIN ASSERT (SELECT count(*) FROM t) = 2; END $$")
}

func TestRESTServesAndComesBack(t *testing.T) {
	server := storagetest.StartS3(t, "lake")
	r := StartREST(t, RESTOptions{Warehouse: "s3://lake/wh", S3: server, JDBC: StartPostgres(t).JDBC})
	require.Equal(t, 200, status(t, "POST", r.URI+"/v1/namespaces", `{"namespace":["audit"]}`))
	r.Kill()
	require.Equal(t, 502, status(t, "GET", r.URI+"/v1/namespaces/audit", ""))
	r.Start()
	require.Equal(t, 200, status(t, "GET", r.URI+"/v1/namespaces/audit", ""))

	r.Judge(func(r *http.Request) *Fault { return &Fault{Status: 503, Landed: r.Method == "POST"} })
	require.Equal(t, 503, status(t, "POST", r.URI+"/v1/namespaces", `{"namespace":["other"]}`))
	r.Judge(nil)
	require.Equal(t, 200, status(t, "GET", r.URI+"/v1/namespaces/other", ""))
	r.Judge(func(*http.Request) *Fault { return &Fault{} })
	_, err := http.Get(r.URI + "/v1/config")
	require.Error(t, err)
	require.Contains(t, r.Requests(), "GET /v1/namespaces/other")
}

func TestTheGateLetsThroughWhatItsKeysAreFor(t *testing.T) {
	server := storagetest.StartS3(t, "lake")
	gate := StartS3Gate(t, server, time.Hour)
	config := func(location string) storage.S3Config {
		c := gate.Issue(location)
		return storage.S3Config{Endpoint: gate.Endpoint, Region: server.Region, PathStyle: true,
			AccessKeyID: c["s3.access-key-id"], SecretAccessKey: c["s3.secret-access-key"], SessionToken: c["s3.session-token"], MaxAttempts: 1}
	}
	open := func(c storage.S3Config) storage.FileIO {
		io, err := storage.New(context.Background(), "s3://lake/", storage.Config{S3: c})
		require.NoError(t, err)
		return io
	}
	a := config("s3://lake/a b")
	require.NoError(t, open(a).WriteFile("s3://lake/a b/x=1/f", []byte("text")))
	got, err := open(a).ReadFile("s3://lake/a b/x=1/f")
	require.NoError(t, err)
	require.Equal(t, "text", string(got))
	big := strings.Repeat("x", 20<<20) // a multipart upload
	require.NoError(t, open(a).WriteFile("s3://lake/a b/big", []byte(big)))
	list, err := storagetest.Client(server).ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: aws.String("lake")})
	require.NoError(t, err)
	require.Len(t, list.Contents, 2)

	require.Error(t, open(a).WriteFile("s3://lake/c/f", nil))
	// A bulk delete is of the objects that it names.
	other := config("s3://lake/c")
	require.NoError(t, open(other).WriteFile("s3://lake/c/f", nil))
	_, err = open(a).DeleteFiles(context.Background(), []string{"s3://lake/a b/x=1/f", "s3://lake/c/f"})
	require.ErrorContains(t, err, "denies access")
	_, err = open(other).ReadFile("s3://lake/c/f")
	require.NoError(t, err)
	deleted, err := open(a).DeleteFiles(context.Background(), []string{"s3://lake/a b/x=1/f", "s3://lake/a b/big"})
	require.NoError(t, err)
	require.Len(t, deleted, 2)
	list, err = storagetest.Client(server).ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: aws.String("lake")})
	require.NoError(t, err)
	require.Len(t, list.Contents, 1)

	forged := a
	forged.SecretAccessKey = "other"
	require.Error(t, open(forged).WriteFile("s3://lake/a b/f", nil))
	gate.Expire()
	require.Error(t, open(a).WriteFile("s3://lake/a b/f", nil))
	require.Contains(t, strings.Join(gate.Refused(), "\n"), "has expired")
}

func status(t *testing.T, method, url, body string) int {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	return response.StatusCode
}

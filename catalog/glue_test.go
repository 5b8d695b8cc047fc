package catalog

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/auditlake/auditlake/storage"
)

// What Glue answers to a commit: the batch is in the table once, and no change is
// sent again by the SDK.
func TestGlueAnswersToACommit(t *testing.T) {
	ctx := context.Background()
	fake := startGlue(t)
	n := 0
	for _, tc := range []struct {
		fault    glueFault
		attempts int
	}{
		{glueFault{status: 500, code: "InternalServiceException"}, 2}, {glueFault{landed: true, status: 500, code: "InternalServiceException"}, 2},
		{glueFault{status: 503, code: "ServiceUnavailable"}, 2}, {glueFault{landed: true, status: 503, code: "ServiceUnavailable"}, 2},
		{glueFault{}, 2}, {glueFault{landed: true}, 2},
		{glueFault{landed: true, status: 400, code: "OperationTimeoutException"}, 2}, {glueFault{landed: true, status: 408, code: "RequestTimeoutException"}, 2},
		{glueFault{landed: true, status: 400, code: "RequestAbortedException"}, 2}, {glueFault{landed: true, status: 400, code: "FederationSourceException"}, 2},
		{glueFault{landed: true, status: 400, code: "NewInThisReleaseException"}, 2},
		{glueFault{status: 400, code: "ThrottlingException"}, 2}, {glueFault{status: 400, code: "ConcurrentModificationException"}, 2},
		{glueFault{status: 400, code: "ResourceNotReadyException"}, 2},
	} {
		t.Run(fmt.Sprintf("%s landed %t", tc.fault.code, tc.fault.landed), func(t *testing.T) {
			cfg := fake.config(t)
			n++
			cfg.Namespace = fmt.Sprintf("n%d", n)
			c := initTest(t, cfg)
			before := fake.count("UpdateTable")
			fake.failNext("UpdateTable", tc.fault)
			b := eventBatch(t, c, 0, 3)
			var judged []Outcome
			b.OnRetry = func(_ int, err error) {
				outcome, _ := c.judgeError(AgentEvents, err, OutcomeUnknown)
				judged = append(judged, outcome)
			}
			landed, err := c.CommitBatch(ctx, AgentEvents, b)
			require.NoError(t, err)
			want := OutcomeUnknown
			switch tc.fault.code {
			case "ThrottlingException", "ConcurrentModificationException", "ResourceNotReadyException":
				want = OutcomeRetry
			}
			require.Equal(t, []Outcome{want}, judged)
			require.Equal(t, tc.attempts, landed.Attempts)
			require.Equal(t, tc.fault.landed, landed.Late)
			sent := 2
			if tc.fault.landed {
				sent = 1
			}
			require.Equal(t, sent, fake.count("UpdateTable")-before)
			require.EqualValues(t, 3, verifyClean(t, c).rows(AgentEvents))
		})
	}
}

func TestGlueMistakes(t *testing.T) {
	ctx := context.Background()
	fake := startGlue(t)
	cfg := fake.config(t)
	c := initTest(t, cfg)
	fake.failNext("UpdateTable", glueFault{status: 400, code: "AccessDeniedException"})
	_, err := c.CommitBatch(ctx, AgentEvents, eventBatch(t, c, 0, 3))
	requireConfigError(t, err, "AWS Glue denies access")
	require.NotContains(t, err.Error(), "\n")
	for _, code := range []string{"ExpiredTokenException", "AccessDeniedException", "UnrecognizedClientException"} {
		fake.failNext("GetTable", glueFault{status: 400, code: code})
		_, err = c.Load(ctx, AgentEvents)
		var config *ConfigError
		require.ErrorAs(t, err, &config)
		require.True(t, config.Access, "it may be given again")
	}
	// A read is asked again.
	fake.failNext("GetTable", glueFault{status: 500, code: "InternalServiceException"})
	_, err = c.Load(ctx, AgentEvents)
	require.NoError(t, err)

	other := cfg
	other.Glue.ID = "999999999999"
	_, err = openTest(t, other).Init(ctx, InitOptions{})
	requireConfigError(t, err, "another account's catalog")
	other = cfg
	other.Glue.Region = "us-west-2"
	_, err = openTest(t, other).Init(ctx, InitOptions{})
	requireConfigError(t, err, "not signed for here")
	other = cfg
	other.Namespace = "Audit"
	_, err = Open(ctx, other)
	requireConfigError(t, err, "one level, in lower case")
	other = cfg
	other.Glue.Region = ""
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, err = Open(ctx, other)
	requireConfigError(t, err, "catalog.glue.region is not set")

	down := httptest.NewServer(nil)
	down.Close()
	other = cfg
	other.Glue.Endpoint = down.URL
	_, err = openTest(t, other).Load(ctx, AgentEvents)
	require.ErrorContains(t, err, "AWS Glue cannot be reached")
	require.NotContains(t, err.Error(), "\n")

	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	_, err = Open(ctx, cfg)
	requireConfigError(t, err, "no AWS credentials are found for Glue")
	t.Cleanup(func() { storage.Register(storage.Config{}) })
}

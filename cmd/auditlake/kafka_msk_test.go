package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/sink/kafkatest"
)

// fakeMSK is a broker as far as a login of AWS MSK IAM goes. It checks what comes
// against the signature that AWS's own SDK makes.
type fakeMSK struct {
	credentials aws.Credentials
	region      string
	seen        chan map[string]string // what each login said
}

func (f *fakeMSK) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for f.answer(conn) == nil {
			}
		}()
	}
}

// answer reads one request and answers it.
func (f *fakeMSK) answer(conn net.Conn) error {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	request := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(body)))
	version := int16(binary.BigEndian.Uint16(body[2:]))
	client := int(int16(binary.BigEndian.Uint16(body[8:])))
	payload := body[10+max(client, 0):]
	if request.SetVersion(version); request.IsFlexible() {
		payload = payload[1:] // no tags
	}
	if err := request.ReadFrom(payload); err != nil {
		return err
	}
	response := request.ResponseKind()
	response.SetVersion(version)
	switch r := response.(type) {
	case *kmsg.ApiVersionsResponse:
		for _, key := range []struct{ key, max int16 }{{3, 9}, {17, 1}, {18, 3}, {36, 2}} {
			r.ApiKeys = append(r.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key.key, MaxVersion: key.max})
		}
	case *kmsg.SASLHandshakeResponse:
		r.SupportedMechanisms = []string{"AWS_MSK_IAM"}
	case *kmsg.SASLAuthenticateResponse:
		if text := f.refuse(request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes, conn.LocalAddr().String()); text != "" {
			r.ErrorCode, r.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &text
		} else {
			r.SASLAuthBytes = []byte(`{"version":"2020_10_22","request-id":"1"}`)
		}
	}
	head := append([]byte(nil), body[4:8]...) // correlation id
	if response.IsFlexible() && response.Key() != 18 {
		head = append(head, 0)
	}
	out := response.AppendTo(head)
	_, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(out))), out...))
	return err
}

// refuse says what is wrong with a login, "" for nothing.
func (f *fakeMSK) refuse(login []byte, address string) string {
	said := map[string]string{}
	if err := json.Unmarshal(login, &said); err != nil {
		return err.Error()
	}
	f.seen <- said
	at, err := time.Parse("20060102T150405Z", said["x-amz-date"])
	if err != nil || time.Since(at).Abs() > time.Minute {
		return "x-amz-date " + said["x-amz-date"]
	}
	host, _, _ := net.SplitHostPort(address)
	query := url.Values{"Action": {"kafka-cluster:Connect"}, "X-Amz-Expires": {said["x-amz-expires"]}}
	request, err := http.NewRequest(http.MethodGet, "https://"+host+"/?"+query.Encode(), nil)
	if err != nil {
		return err.Error()
	}
	empty := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), f.credentials, request, hex.EncodeToString(empty[:]), "kafka-cluster", f.region, at)
	if err != nil {
		return err.Error()
	}
	u, err := url.Parse(signed)
	if err != nil {
		return err.Error()
	}
	want := u.Query()
	for key, got := range map[string]string{
		"X-Amz-Signature": said["x-amz-signature"], "X-Amz-Credential": said["x-amz-credential"],
		"X-Amz-SignedHeaders": said["x-amz-signedheaders"], "X-Amz-Algorithm": said["x-amz-algorithm"],
		"X-Amz-Security-Token": said["x-amz-security-token"],
	} {
		if got != want.Get(key) {
			return fmt.Sprintf("%s is %s", key, got)
		}
	}
	return ""
}

func TestKafkaLoginOfMSK(t *testing.T) {
	ca, err := kafkatest.NewCA(t.TempDir())
	require.NoError(t, err)
	issued, err := ca.Issue(kafkatest.Certificate{Name: "msk"})
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(issued.Cert, issued.Key)
	require.NoError(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	require.NoError(t, err)
	defer listener.Close()
	fake := &fakeMSK{
		credentials: aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "aws-secret", SessionToken: "session"},
		region:      "eu-central-1", seen: make(chan map[string]string, 10),
	}
	go fake.serve(listener)

	for _, name := range []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_REGION", fake.region) // the host names none
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	dir := t.TempDir()
	path := writeFile(t, dir, "msk.yaml", fmt.Sprintf("kafka: {brokers: [%q], topics: [t], tls: {enabled: true, ca_file: %q}, sasl: {mechanism: aws-msk-iam}}\n"+
		"catalog: {uri: catalog.db}\nwarehouse: warehouse\n", listener.Addr(), ca.File))
	mustCall(t, "init", "-c", path)

	r := call(t, "run", "-c", path)
	require.Equal(t, exitUsage, r.code, r.stderr)
	require.Contains(t, r.stderr, "aws-msk-iam needs AWS credentials: set AWS_PROFILE")

	t.Setenv("AWS_ACCESS_KEY_ID", fake.credentials.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another secret")
	t.Setenv("AWS_SESSION_TOKEN", fake.credentials.SessionToken)
	r = call(t, "run", "-c", path)
	require.Equal(t, exitUsage, r.code, r.stderr)
	require.Contains(t, r.stderr, "refuses the login: check kafka.sasl")
	require.Contains(t, r.stderr, "X-Amz-Signature is")
	require.NotContains(t, r.stderr, "another secret")

	t.Setenv("AWS_SECRET_ACCESS_KEY", fake.credentials.SecretAccessKey)
	a := &app{configPath: path, getenv: os.LookupEnv, stderr: io.Discard}
	cfg, err := a.loadKafkaConfig()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, pingKafka(ctx, cfg))
	var said map[string]string
	for len(fake.seen) > 0 {
		said = <-fake.seen
	}
	require.Equal(t, "2020_10_22", said["version"])
	require.Equal(t, "kafka-cluster:Connect", said["action"])
	require.Equal(t, "auditlake", said["user-agent"])
	require.Equal(t, "127.0.0.1", said["host"])
}

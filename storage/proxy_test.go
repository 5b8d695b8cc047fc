package storage_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/auditlake/auditlake/internal/faultproxy"
	"github.com/auditlake/auditlake/storage"
)

// proxy stands before an S3 server and breaks requests as it is told.
type proxy struct {
	*faultproxy.HTTP
	cfg storage.S3Config // leads to the proxy
}

func newProxy(t *testing.T, server storage.S3Config) *proxy {
	p := &proxy{faultproxy.StartHTTP(t, server.Endpoint), server}
	p.cfg.Endpoint = p.URL
	return p
}

// ignoresRange is an object store that always sends the whole object.
func ignoresRange(content []byte) faultproxy.Fault {
	return func(_ *faultproxy.HTTP, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	}
}

// otherRange answers with other bytes than were asked for.
func otherRange(_ *faultproxy.HTTP, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Range", "bytes 0-3/1000")
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write([]byte("four"))
}

// dropsLength is something between that sends answers on in chunks.
func dropsLength(content []byte) faultproxy.Fault {
	return func(_ *faultproxy.HTTP, w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write(content)
	}
}

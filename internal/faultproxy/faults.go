package faultproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

// Pass hands the request on to the server, as it would be without a fault.
func Pass(p *HTTP, w http.ResponseWriter, r *http.Request) { p.next.ServeHTTP(w, r) }

// Answers is an error of S3, with the request not handed on.
func Answers(status int, code string) Fault {
	return func(_ *HTTP, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what comes of it
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>of the proxy</Message></Error>`, code) // the client may be gone
		}
	}
}

// AnswersHTML is what something before the server says.
func AnswersHTML(status int) Fault {
	return func(_ *HTTP, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what comes of it
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, "<html><body><p>an answer<br>of lines\nfor people</body></html>") // the client may be gone
		}
	}
}

// LandsThen hands the request on, drops the answer and breaks.
func LandsThen(broken Fault) Fault {
	return func(p *HTTP, w http.ResponseWriter, r *http.Request) {
		p.next.ServeHTTP(httptest.NewRecorder(), r)
		broken(p, w, r)
	}
}

// Slowly waits, or until the client has gone, and hands the request on.
func Slowly(wait time.Duration) Fault {
	return func(p *HTTP, w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		case <-p.line.done:
		}
		p.next.ServeHTTP(w, r)
	}
}

// Resets ends the connection at once, without a word.
func Resets(_ *HTTP, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // a reset, not a farewell
	_ = conn.Close()                     // the client may have closed it
}

// Stalls answers nothing until the client has gone.
func Stalls(p *HTTP, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // what comes of it
	select {
	case <-r.Context().Done():
	case <-p.line.done:
	}
	panic(http.ErrAbortHandler)
}

// CutsUpload hands on half of the body; then the connection breaks.
func CutsUpload(p *HTTP, w http.ResponseWriter, r *http.Request) {
	half := io.LimitReader(r.Body, r.ContentLength/2)
	r.Body = io.NopCloser(io.MultiReader(half, errorReader{}))
	p.next.ServeHTTP(w, r)
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("the connection broke") }

// SpoilsUpload hands on the body with one byte changed.
func SpoilsUpload(p *HTTP, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.next.ServeHTTP(w, r)
}

// CutsAnswer hands on the server's answer up to n bytes of its body.
func CutsAnswer(n int) Fault {
	return func(p *HTTP, w http.ResponseWriter, r *http.Request) {
		p.next.ServeHTTP(&cutWriter{w, n}, r)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(body []byte) (int, error) {
	n, err := w.ResponseWriter.Write(body[:min(len(body), w.left)])
	w.left -= n
	if err == nil && n < len(body) {
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// Unwrap lets the proxy find what else the writer can.
func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

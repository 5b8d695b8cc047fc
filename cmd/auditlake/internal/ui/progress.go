package ui

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Progress shows how far a command has come. It is silent where its writer is
// no terminal. A nil Progress is silent too.
type Progress struct{ bar *progressbar.ProgressBar }

// NewProgress starts a bar of total things; a total below 0 is not known and
// shows a spinner and the count.
func NewProgress(w io.Writer, what string, total int64) *Progress {
	return newProgress(w, what, total, progressbar.OptionShowIts(), progressbar.OptionShowCount())
}

// NewByteProgress is [NewProgress] for bytes.
func NewByteProgress(w io.Writer, what string, total int64) *Progress {
	return newProgress(w, what, total, progressbar.OptionShowBytes(true), progressbar.OptionShowCount())
}

func newProgress(w io.Writer, what string, total int64, opts ...progressbar.Option) *Progress {
	if !IsTerminal(w) {
		return nil
	}
	opts = append(opts,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSpinnerType(14),
		progressbar.OptionSetPredictTime(total >= 0),
	)
	return &Progress{progressbar.NewOptions64(total, opts...)}
}

// Add counts n more.
func (p *Progress) Add(n int64) {
	if p != nil {
		_ = p.bar.Add64(n) // it fails only to draw
	}
}

// Set counts n in all.
func (p *Progress) Set(n int64) {
	if p != nil {
		_ = p.bar.Set64(n)
	}
}

// Done clears the bar. It may be called twice.
func (p *Progress) Done() {
	if p != nil {
		_ = p.bar.Finish()
	}
}

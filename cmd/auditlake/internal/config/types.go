package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/common/model"
)

// Duration is a length of time written with a unit, such as 90s, 1h30m or 183d
// (ms, s, m, h, d, w and y of 365 days).
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return model.Duration(d).String() }

func (d *Duration) setText(text string) error {
	v, err := model.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("want a duration with a unit, such as 90s, 15m or 183d")
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes written with a unit: 128MiB is 128 x 1024 x 1024,
// 128MB is 128,000,000.
type Size int64

// Bytes returns s as a plain number.
func (s Size) Bytes() int64 { return int64(s) }

// String writes s so that it reads back as the same number.
func (s Size) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n := int64(1) << (40 - 10*i); int64(s) >= n && int64(s)%n == 0 {
			return fmt.Sprintf("%d%s", int64(s)/n, unit)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

func (s *Size) setText(text string) error {
	text = strings.TrimSpace(text)
	last := rune(0)
	for _, last = range text {
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || !unicode.IsLetter(last) || n > math.MaxInt64 {
		return fmt.Errorf("want a size with a unit, such as 64KiB or 128MiB")
	}
	*s = Size(n)
	return nil
}

// Secret is a text that no printing shows: not fmt, not JSON, not YAML, not slog.
type Secret struct{ text string }

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return s.text }

// IsSet reports whether there is a secret at all.
func (s Secret) IsSet() bool { return s.text != "" }

func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "***"
}

// GoString keeps %#v from showing the text.
func (s Secret) GoString() string { return s.String() }

// MarshalText serves encoders of JSON, YAML and slog alike.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON keeps JSON from showing the text.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

func (s *Secret) setText(text string) error {
	s.text = text
	return nil
}

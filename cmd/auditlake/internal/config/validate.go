package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/auditlake/auditlake/internal/nearest"
)

// validate checks what every command needs. [Config.RequireKafka] checks the rest.
func (c *Config) validate() error {
	for _, check := range []func() error{c.checkWords, c.checkCatalog, c.checkWarehouse, c.checkKafka, c.checkSink, c.checkMetrics, c.checkSQL} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkWords() error {
	for _, w := range []struct {
		key, value string
		of         []string
	}{
		{"kafka.start", c.Kafka.Start, []string{"earliest", "latest"}},
		{"kafka.isolation", c.Kafka.Isolation, []string{"read_committed", "read_uncommitted"}},
		{"kafka.sasl.mechanism", c.Kafka.SASL.Mechanism, saslMechanisms},
		{"catalog.type", c.Catalog.Type, []string{"sqlite", "postgres", "rest", "glue"}},
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
	} {
		if slices.Contains(w.of, w.value) {
			continue
		}
		words := slices.DeleteFunc(slices.Clone(w.of), func(s string) bool { return s == "" })
		hint := "it is one of " + strings.Join(words, ", ")
		if near := nearest.Word(w.value, words); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return c.Fault(w.key, fmt.Sprintf("%q is not known", w.value), hint)
	}
	return nil
}

// leastShare is the least of sink.memory that a worker can do with.
const leastShare = 32 * mib

func (c *Config) checkSink() error {
	s := c.Sink
	if err := c.atLeast(
		bound{"sink.target_lag", int64(s.TargetLag), 1e8, "100ms"},
		bound{"sink.target_file_size", s.TargetFileSize.Bytes(), int64(mib), "1MiB"},
		bound{"sink.memory", s.Memory.Bytes(), 64 * int64(mib), "64MiB"},
		bound{"sink.max_batch_rows", s.MaxBatchRows, 1, "1"},
		bound{"sink.shutdown_timeout", int64(s.ShutdownTimeout), 1e9, "1s"},
		bound{"sink.max_event_bytes", s.MaxEventBytes.Bytes(), 1024, "1KiB"},
		bound{"sink.max_event_age", int64(s.MaxEventAge), 1e9, "1s"},
		bound{"sink.max_clock_skew", int64(s.MaxClockSkew), 0, "0s"},
		bound{"sink.compression_level", s.CompressionLevel, 1, "1"},
		bound{"sink.workers", s.Workers, 1, "1"},
	); err != nil {
		return err
	}
	if s.CompressionLevel > 22 {
		return c.Fault("sink.compression_level", fmt.Sprintf("%d is too high", s.CompressionLevel), "zstd has the levels 1 to 22")
	}
	share := s.Memory / Size(s.Workers)
	if share < leastShare {
		return c.Fault("sink.workers", fmt.Sprintf("each of %d has less than %s of sink.memory (%s)", s.Workers, leastShare, s.Memory),
			"take fewer, one a core, or raise sink.memory")
	}
	if 3*s.MaxEventBytes > share {
		return c.Fault("sink.memory", fmt.Sprintf("a worker's share of %s cannot hold three events of sink.max_event_bytes (%s)", share, s.MaxEventBytes),
			"raise the one or lower the other")
	}
	return nil
}

func (c *Config) checkMetrics() error {
	if err := c.atLeast(
		bound{"metrics.ready_lag", int64(c.Metrics.ReadyLag), 0, "0s"},
		bound{"metrics.stalled_after", int64(c.Metrics.StalledAfter), 0, "0s"},
	); err != nil {
		return err
	}
	if c.Metrics.Listen == Off {
		return nil
	}
	if _, port, err := net.SplitHostPort(c.Metrics.Listen); err != nil || port == "" {
		return c.Fault("metrics.listen", fmt.Sprintf("%q is no host:port", c.Metrics.Listen), `write it as 127.0.0.1:9464, or "off"`)
	}
	return nil
}

func (c *Config) checkSQL() error {
	return c.atLeast(
		bound{"sql.memory_limit", c.SQL.MemoryLimit.Bytes(), 64 * int64(mib), "64MiB"},
		bound{"sql.threads", c.SQL.Threads, 0, "0 (all cores)"},
		bound{"sql.timeout", int64(c.SQL.Timeout), 1e6, "1ms"},
		bound{"sql.cache_size", c.SQL.CacheSize.Bytes(), 0, "0B"},
		bound{"sql.max_rows", c.SQL.MaxRows, 1, "1"},
	)
}

// bound is the least value of a key, and the same for people.
type bound struct {
	key        string
	value, min int64
	text       string
}

func (c *Config) atLeast(bounds ...bound) error {
	for _, b := range bounds {
		if b.value < b.min {
			return c.Fault(b.key, "is too small", "give at least "+b.text)
		}
	}
	return nil
}

// Fault is a mistake in key, blamed on it, at its place or at that of the nearest section around it.
func (c *Config) Fault(key, text, hint string) error {
	e := &Error{File: c.Path, Text: key + ": " + text, Hint: hint}
	if text == "is missing" {
		e.Text = key + " is missing"
	}
	for at := key; at != ""; {
		if p, ok := c.where[at]; ok {
			e.Line, e.Col = p.line, p.col
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	return e
}

func plainPathError(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return "cannot read it: " + pe.Err.Error()
	}
	return err.Error()
}

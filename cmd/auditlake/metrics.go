package main

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/sink"
)

// stuckAfter is how long a sink may say nothing before /healthz calls it dead:
// twice as long as one snapshot commit may be retried.
const stuckAfter = 10 * time.Minute

// monitor is what `run` tells the outside of itself: /metrics, /healthz and
// /readyz.
type monitor struct {
	stats    func() sink.Stats // of all workers together
	commits  *prometheus.HistogramVec
	files    prometheus.Histogram
	lastSeen atomic.Int64 // unix nanoseconds of the last sign of life, 0 before the first
	stopping atomic.Bool
}

func newMonitor(stats func() sink.Stats) *monitor {
	return &monitor{
		stats: stats,
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditlake_flush_duration_seconds", Help: "Duration of a flush, data files to offset commit, by outcome of the snapshot commit.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 13),
		}, []string{"outcome"}),
		files: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "auditlake_data_file_bytes", Help: "Size of committed data files.",
			Buckets: prometheus.ExponentialBuckets(64<<10, 4, 8),
		}),
	}
}

// flushed takes in how a flush ended.
func (m *monitor) flushed(f sink.Flush) {
	m.commits.WithLabelValues(f.Outcome).Observe(f.Took.Seconds())
	for _, size := range f.FileSizes {
		m.files.Observe(float64(size))
	}
}

func (m *monitor) alive() { m.lastSeen.Store(time.Now().UnixNano()) }

// serve answers on address until ctx is done. An address that cannot be had is a
// mistake of configuration, known at once.
func (m *monitor) serve(ctx context.Context, address string) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, usagef("metrics.listen: %v: give another host:port, or remove the key", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, m.commits, m.files, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", m.healthz)
	mux.HandleFunc("GET /readyz", m.readyz)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends by Close, with nothing to say
	return func() { m.stopping.Store(true); _ = server.Close() }, nil
}

// healthz fails when the sink seems stuck: a supervisor may restart it.
func (m *monitor) healthz(w http.ResponseWriter, _ *http.Request) {
	last := m.lastSeen.Load()
	if last != 0 && time.Since(time.Unix(0, last)) > stuckAfter {
		http.Error(w, "no sign of life for "+stuckAfter.String(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n")) // a client that left needs no answer
}

// readyz fails until the sink has polled Kafka once.
func (m *monitor) readyz(w http.ResponseWriter, _ *http.Request) {
	if m.lastSeen.Load() == 0 || m.stopping.Load() {
		http.Error(w, "not reading from Kafka", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// The counters of sink.Stats, by the names Prometheus knows them.
var (
	descRecords   = describe("records_total", "Records taken from Kafka.")
	descBytes     = describe("record_bytes_total", "Bytes of their values.")
	descRows      = describe("committed_rows_total", "Rows of agent_events in snapshot commits, by event class.", "class")
	descDead      = describe("dead_letters_total", "Records that are no event, by error class, when they are read.", "class")
	descMisfits   = describe("misfits_total", "Values that did not fit their column.")
	descUnknown   = describe("unknown_attributes_total", "Attributes without a column.")
	descCommits   = describe("snapshot_commits_total", "Snapshot commits of agent_events.")
	descRetries   = describe("snapshot_commit_retries_total", "Attempts of a snapshot commit that did not succeed and were tried again.")
	descFenced    = describe("fenced_batches_total", "Batches dropped because another sink took over.")
	descPending   = describe("pending_rows", "Rows taken and not yet committed.")
	descBuffered  = describe("buffered_bytes", "Memory held by pending rows and open data files.")
	descLast      = describe("last_snapshot_commit_timestamp_seconds", "When the last snapshot commit of agent_events landed, by this sink or before it; 0 where there is none.")
	descCommitted = describe("committed_offset", "The next offset the tables want.", "topic", "partition")
	descHigh      = describe("high_watermark", "Kafka's high watermark as of the assignment or the last fetch.", "topic", "partition")
	descLag       = describe("lag_records", "Offsets that the tables are behind.", "topic", "partition")
	descWatermark = describe("watermark_timestamp_seconds", "Kafka timestamp of the newest committed record.", "topic", "partition")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("auditlake_"+name, help, labels, nil)
}

// Describe sends nothing: which series there are depends on the topics.
func (m *monitor) Describe(chan<- *prometheus.Desc) {}

// Collect reads the sinks' counters.
func (m *monitor) Collect(out chan<- prometheus.Metric) {
	s := m.stats()
	total := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	total(descRecords, s.Records)
	total(descBytes, s.Bytes)
	total(descMisfits, s.Misfits)
	total(descUnknown, s.Unknown)
	total(descCommits, s.Commits)
	total(descRetries, s.CommitRetries)
	total(descFenced, s.Fenced)
	for class, n := range s.ByClass {
		total(descRows, n, class)
	}
	for _, c := range envelope.ErrorClasses { // a rate needs a beginning
		total(descDead, s.DeadLetters[string(c.Class)], string(c.Class))
	}
	gauge(descPending, float64(s.Pending))
	gauge(descBuffered, float64(s.Buffered))
	gauge(descLast, unixSeconds(s.LastCommit))
	for _, p := range s.Owned {
		labels := []string{p.Topic, strconv.Itoa(int(p.Partition))}
		gauge(descCommitted, float64(p.Committed), labels...)
		gauge(descHigh, float64(p.HighWatermark), labels...)
		gauge(descLag, float64(p.Lag()), labels...)
		if !p.Watermark.IsZero() {
			gauge(descWatermark, unixSeconds(p.Watermark), labels...)
		}
	}
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

package main

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/sink"
)

// monitor is what `run` tells the outside of itself: /metrics, /healthz and
// /readyz.
type monitor struct {
	*health
	sum      func() sink.Stats // of all workers together
	settings map[*prometheus.Desc]float64
	flushes  *prometheus.HistogramVec
	files    prometheus.Histogram

	mu      sync.Mutex
	classes map[string]bool // that have a series of their own
}

func newMonitor(all *totals, cfg *config.Config, probe func(context.Context) error) *monitor {
	lag := cfg.Sink.TargetLag.Std()
	return &monitor{
		health: newHealth(cfg.ReadyLag(), cfg.StalledAfter(), all.each, probe),
		sum:    all.sum,
		settings: map[*prometheus.Desc]float64{
			descTargetLag: lag.Seconds(), descMemory: float64(cfg.Sink.Memory.Bytes()), descWorkers: float64(cfg.Sink.Workers),
		},
		flushes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditlake_flush_duration_seconds", Help: "Duration of a flush, data files to offset commit, by outcome of the snapshot commit.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 14),
		}, []string{"outcome"}),
		files: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "auditlake_data_file_bytes", Help: "Size of committed data files.",
			Buckets: prometheus.ExponentialBuckets(16<<10, 4, 9),
		}),
		classes: map[string]bool{},
	}
}

// flushed takes in how a flush ended.
func (m *monitor) flushed(f sink.Flush) {
	m.flushes.WithLabelValues(f.Outcome).Observe(f.Took.Seconds())
	for _, size := range f.FileSizes {
		m.files.Observe(float64(size))
	}
}

// probe asks the catalog, and the store for what the catalog names.
func probe(cat *catalog.Catalog) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, name := range []string{catalog.AgentEvents, catalog.DeadLetters} {
			if _, err := cat.Load(ctx, name); err != nil {
				return err
			}
		}
		return nil
	}
}

// serve answers on the configured address until stop is called. An address that
// was asked for and cannot be had is a mistake of configuration, known at once.
// The default gives way: a second sink on a host runs without being watched, and
// says so.
func (m *monitor) serve(ctx context.Context, cfg *config.Config, log *slog.Logger) (stop func(), err error) {
	address := cfg.Metrics.Listen
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err != nil && cfg.IsSet("metrics.listen"):
		return nil, cfg.Fault("metrics.listen", err.Error(), `give another host:port, or "off"`)
	case err != nil:
		log.Warn("not watched: the default of metrics.listen is taken, by another sink perhaps: give each sink of a host its own", "address", address, "err", err)
		return func() {}, nil
	}
	server := &http.Server{
		Handler: m.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() { _ = server.Serve(listener) }() // ends by Close, with nothing to say
	log.Info("watched", "metrics", "http://"+listener.Addr().String()+"/metrics")
	return func() { _ = server.Close() }, nil
}

func (m *monitor) registry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, m.flushes, m.files, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

func (m *monitor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry(), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", m.serveHealthz)
	mux.HandleFunc("GET /readyz", m.serveReadyz)
	return mux
}

// What is told of the sinks, by the names Prometheus knows.
var (
	descBuild      = describe("build_info", "1, by the version of this binary.", "version", "revision", "goversion")
	descRecords    = describe("records_total", "Records taken from Kafka. What a dropped batch held is taken again.")
	descBytes      = describe("record_bytes_total", "Bytes of the values of records taken from Kafka.")
	descRows       = describe("committed_rows_total", "Rows of agent_events in snapshot commits, by event class; past 100 classes the others together.", "class")
	descCommitDead = describe("committed_dead_letters_total", "Rows of dead_letters in snapshot commits.")
	descDead       = describe("dead_letters_total", "Records that are no event, by error class, when they are taken.", "class")
	descMisfits    = describe("misfits_total", "Values that did not fit their column.")
	descUnknown    = describe("unknown_attributes_total", "Attributes without a column.")
	descCommits    = describe("snapshot_commits_total", "Snapshot commits of agent_events.")
	descRetries    = describe("snapshot_commit_retries_total", "Attempts of a snapshot commit that did not succeed and were tried again.")
	descFenced     = describe("fenced_batches_total", "Batches dropped because another sink took over.")
	descAgain      = describe("begun_again_total", "Failures after which what was pending was read again from where the tables are.")
	descPending    = describe("pending_rows", "Rows taken and not yet committed.")
	descBuffered   = describe("buffered_bytes", "Memory held by pending rows and open data files.")
	descMemory     = describe("memory_limit_bytes", "Budget of auditlake_buffered_bytes: sink.memory.")
	descTargetLag  = describe("target_lag_seconds", "How old a record may get before it is in the tables: sink.target_lag.")
	descWorkers    = describe("workers", "Pipelines of this process: sink.workers.")
	descFlushAge   = describe("flush_age_seconds", "How long the oldest flush that is under way has taken so far; 0 where there is none.")
	descLast       = describe("last_snapshot_commit_timestamp_seconds", "When the last snapshot commit of agent_events landed, by this sink or before it; 0 where there is none.")
	descPartitions = describe("assigned_partitions", "Topic partitions that the consumer group has given to this process.")
	descCommitted  = describe("committed_offset", "The next offset the tables want.", "topic", "partition")
	descHigh       = describe("high_watermark", "Kafka's high watermark.", "topic", "partition")
	descStable     = describe("last_stable_offset", "Where reading ends for now: before transactions that are still open, where only committed records are read.", "topic", "partition")
	descLag        = describe("lag_records", "Offsets that the tables are behind the high watermark.", "topic", "partition")
	descAge        = describe("lag_seconds", "Age of the last moment whose records are all in the tables, counted from the assignment; 0 where no record waits.", "topic", "partition")
	descWatermark  = describe("watermark_timestamp_seconds", "Kafka timestamp of the newest committed record, once this sink has committed.", "topic", "partition")
	descReady      = describe("ready", "1 where /readyz says so by what the sinks say of themselves; a scrape does not ask the catalog.")
	descHealthy    = describe("healthy", "1 where /healthz says so.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("auditlake_"+name, help, labels, nil)
}

// Describe sends nothing: which series there are depends on the topics.
func (m *monitor) Describe(chan<- *prometheus.Desc) {}

// Collect reads the sinks' counters.
func (m *monitor) Collect(out chan<- prometheus.Metric) {
	s, now := m.sum(), time.Now()
	total := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	v := readVersions()
	gauge(descBuild, 1, v.Version, v.Commit, v.Go)
	for d, v := range m.settings {
		gauge(d, v)
	}
	total(descRecords, s.Records)
	total(descBytes, s.Bytes)
	total(descMisfits, s.Misfits)
	total(descUnknown, s.Unknown)
	total(descCommits, s.Commits)
	total(descRetries, s.CommitRetries)
	total(descFenced, s.Fenced)
	total(descAgain, s.BegunAgain)
	total(descCommitDead, s.CommittedDead)
	for class, n := range m.bound(s.ByClass) {
		total(descRows, n, class)
	}
	for _, c := range envelope.ErrorClasses { // a rate needs a beginning
		total(descDead, s.DeadLetters[string(c.Class)], string(c.Class))
	}
	gauge(descPending, float64(s.Pending))
	gauge(descBuffered, float64(s.Buffered))
	gauge(descLast, unixSeconds(s.LastCommit))
	flush := time.Duration(0)
	if !s.Flushing.IsZero() {
		flush = now.Sub(s.Flushing)
	}
	gauge(descFlushAge, flush.Seconds())
	healthy, _ := m.healthy(now)
	gauge(descHealthy, oneIf(healthy))
	gauge(descReady, oneIf(m.unready(m.workers(), now) == ""))
	gauge(descPartitions, float64(len(s.Owned)))
	for _, p := range s.Owned {
		labels := []string{p.Topic, strconv.Itoa(int(p.Partition))}
		gauge(descCommitted, float64(p.Committed), labels...)
		gauge(descHigh, float64(p.HighWatermark), labels...)
		gauge(descLag, float64(p.Lag()), labels...)
		gauge(descAge, m.age(now, p).Seconds(), labels...)
		if p.Readable >= 0 {
			gauge(descStable, float64(p.Readable), labels...)
		}
		if !p.Watermark.IsZero() {
			gauge(descWatermark, unixSeconds(p.Watermark), labels...)
		}
	}
}

// maxClasses bounds the series by event class, which producers choose. It is the
// sinks' own bound; theirs is for each of them.
const maxClasses = 100

// bound adds up what is past the first maxClasses classes.
func (m *monitor) bound(byClass map[string]int64) map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int64{}
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		if !m.classes[class] && class != sink.OtherNames {
			if len(m.classes) >= maxClasses {
				out[sink.OtherNames] += byClass[class]
				continue
			}
			m.classes[class] = true
		}
		out[class] += byClass[class]
	}
	return out
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

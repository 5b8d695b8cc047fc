package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
)

// status is what `status --json` prints. Offsets are the next to read.
type status struct {
	Namespace       string            `json:"namespace"`
	Warehouse       string            `json:"warehouse"`
	Brokers         []string          `json:"brokers"`
	KafkaError      string            `json:"kafka_error,omitempty"` // why there are no high watermarks
	TopicPartitions []partitionStatus `json:"topic_partitions"`
	Tables          []tableStatus     `json:"tables"`
	Lag             *int64            `json:"lag"` // over all topic partitions; null if not known
}

type partitionStatus struct {
	Topic           string `json:"topic"`
	Partition       int32  `json:"partition"`
	TopicID         string `json:"topic_id"`
	First           *int64 `json:"first_offset"`     // null: nothing committed yet
	CommittedOffset *int64 `json:"committed_offset"` // null: nothing committed yet
	HighWatermark   *int64 `json:"high_watermark"`   // null: not known
	Lag             *int64 `json:"lag"`              // null: not known
	Recreated       bool   `json:"recreated,omitempty"`
}

type tableStatus struct {
	Table          string     `json:"table"`
	SnapshotID     int64      `json:"snapshot_id"` // 0: no snapshot yet
	SnapshotTime   *time.Time `json:"snapshot_time"`
	AgeSeconds     *float64   `json:"snapshot_age_seconds"`
	Snapshots      int        `json:"snapshots"`
	Files          int        `json:"files"`
	SmallFiles     int        `json:"small_files"` // below a quarter of sink.target_file_size
	SmallFileRatio float64    `json:"small_file_ratio"`
	Bytes          int64      `json:"bytes"`
	Rows           int64      `json:"rows"`
}

func newStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how far the tables are behind Kafka, and their state",
		Long: `Shows for every topic partition the committed offset, the high watermark and the lag, and for every
table its last snapshot, files and rows. Without a broker it shows what the tables know.`,
		Args: takes(0, 0, ""),
	}
	out := outputFlags(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		cfg, err := a.loadConfig()
		if err != nil {
			return err
		}
		return a.withCatalog(cmd.Context(), false, func(cat *catalog.Catalog) error {
			s, err := readStatus(cmd.Context(), cfg, cat, time.Now())
			if err != nil {
				return err
			}
			if form == asJSON {
				return writeJSON(a.stdout, s)
			}
			return a.sayStatus(s)
		})
	}
	return cmd
}

func readStatus(ctx context.Context, cfg *config.Config, cat *catalog.Catalog, now time.Time) (*status, error) {
	s := &status{Namespace: cat.Namespace(), Warehouse: cfg.Warehouse, Brokers: cfg.Kafka.Brokers, TopicPartitions: []partitionStatus{}}
	small := cfg.Sink.TargetFileSize.Bytes() / 4
	var offsets catalog.Offsets
	for _, def := range catalog.Definitions() {
		t, err := cat.Load(ctx, def.Name)
		if err != nil {
			return nil, err
		}
		ts, err := readTable(ctx, t, small, now)
		if err != nil {
			return nil, err
		}
		s.Tables = append(s.Tables, ts)
		if def.Name == catalog.AgentEvents {
			if offsets, err = t.Offsets(); err != nil {
				return nil, err
			}
		}
	}
	for _, tp := range offsets.Keys() {
		o := offsets[tp]
		s.TopicPartitions = append(s.TopicPartitions, partitionStatus{
			Topic: tp.Topic, Partition: tp.Partition, TopicID: tp.TopicID, First: &o.First, CommittedOffset: &o.Next,
		})
	}
	if len(cfg.Kafka.Brokers) == 0 {
		return s, nil
	}
	if err := s.addHighWatermarks(ctx, cfg); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		s.KafkaError = err.Error()
	}
	return s, nil
}

func readTable(ctx context.Context, t *catalog.Table, small int64, now time.Time) (tableStatus, error) {
	out := tableStatus{Table: t.Name()}
	snaps, err := t.Snapshots()
	if err != nil || len(snaps) == 0 {
		return out, err
	}
	last := snaps[len(snaps)-1]
	age := now.Sub(last.Time).Seconds()
	out.SnapshotID, out.SnapshotTime, out.AgeSeconds, out.Snapshots = last.ID, &last.Time, &age, len(snaps)
	plan, err := t.Plan(ctx, catalog.PlanOptions{SnapshotID: last.ID})
	if err != nil {
		return out, err
	}
	out.Files = len(plan.Files)
	for _, f := range plan.Files {
		out.Bytes += f.Size
		out.Rows += f.Rows
		if f.Size < small {
			out.SmallFiles++
		}
	}
	if out.Files > 0 {
		out.SmallFileRatio = float64(out.SmallFiles) / float64(out.Files)
	}
	return out, nil
}

// addHighWatermarks asks Kafka; what the tables do not know yet is added.
func (s *status) addHighWatermarks(ctx context.Context, cfg *config.Config) error {
	client, err := kafkaClient(ctx, cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topics := slices.Clone(cfg.Kafka.Topics)
	for _, p := range s.TopicPartitions {
		if !slices.Contains(topics, p.Topic) {
			topics = append(topics, p.Topic)
		}
	}
	meta, err := admin.Metadata(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err != nil && len(ends) == 0 {
		return err
	}
	var missing []error
	for _, topic := range topics {
		if d := meta.Topics[topic]; d.Err != nil {
			missing = append(missing, fmt.Errorf("topic %s: %w", topic, d.Err))
		}
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil && len(starts) == 0 {
		return err
	}
	total := int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			return
		}
		p := s.partition(end.Topic, end.Partition)
		id := meta.Topics[end.Topic].ID.String()
		if p.Recreated = p.TopicID != "" && p.TopicID != id; p.Recreated {
			return
		}
		p.TopicID, p.HighWatermark = id, &end.Offset
		lag := end.Offset
		if p.CommittedOffset != nil {
			lag -= *p.CommittedOffset
		} else if first, ok := starts.Lookup(end.Topic, end.Partition); ok {
			lag -= first.Offset
		}
		p.Lag = &lag
		total += lag
	})
	slices.SortStableFunc(s.TopicPartitions, func(x, y partitionStatus) int {
		if c := strings.Compare(x.Topic, y.Topic); c != 0 {
			return c
		}
		return int(x.Partition) - int(y.Partition)
	})
	s.Lag = &total
	return errors.Join(missing...)
}

func (s *status) partition(topic string, partition int32) *partitionStatus {
	for i := range s.TopicPartitions {
		if p := &s.TopicPartitions[i]; p.Topic == topic && p.Partition == partition {
			return p
		}
	}
	s.TopicPartitions = append(s.TopicPartitions, partitionStatus{Topic: topic, Partition: partition})
	return &s.TopicPartitions[len(s.TopicPartitions)-1]
}

func (a *app) sayStatus(s *status) error {
	number := func(n *int64, absent string) string {
		if n == nil {
			return absent
		}
		return ui.Count(*n)
	}
	var rows [][]string
	for _, p := range s.TopicPartitions {
		remark := ""
		if p.Recreated {
			remark = "the topic was deleted and made again: run stops and says the way out"
		}
		rows = append(rows, []string{fmt.Sprintf("%s/%d", p.Topic, p.Partition), number(p.CommittedOffset, "none"), number(p.HighWatermark, "?"), number(p.Lag, "?"), remark})
	}
	if err := ui.Table(a.stdout, []string{"topic partition", "committed>", "high watermark>", "lag>", ""}, rows); err != nil {
		return err
	}
	rows = nil
	for _, t := range s.Tables {
		snapshot, age := "none", ""
		if t.SnapshotID != 0 {
			snapshot, age = fmt.Sprint(t.SnapshotID), ui.Duration(time.Duration(*t.AgeSeconds*float64(time.Second)))
		}
		rows = append(rows, []string{
			s.Namespace + "." + t.Table, snapshot, age, ui.Count(int64(t.Snapshots)), ui.Count(int64(t.Files)),
			fmt.Sprintf("%.0f%%", 100*t.SmallFileRatio), ui.Bytes(t.Bytes), ui.Count(t.Rows),
		})
	}
	if err := a.say(""); err != nil {
		return err
	}
	if err := ui.Table(a.stdout, []string{"table", "last snapshot>", "age>", "snapshots>", "files>", "small>", "size>", "rows>"}, rows); err != nil {
		return err
	}
	if s.KafkaError != "" {
		a.note("high watermarks are not known: %s", strings.Join(strings.Fields(s.KafkaError), " "))
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/config"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/sink"
)

// status is what `status --json` prints. Offsets are the next to read.
type status struct {
	Namespace       string            `json:"namespace"`
	Warehouse       string            `json:"warehouse"`
	Lag             *int64            `json:"lag"` // over all topic partitions; null if not known
	KafkaError      string            `json:"kafka_error,omitempty"`
	TopicPartitions []partitionStatus `json:"topic_partitions"`
	Tables          []tableStatus     `json:"tables"`
}

// partitionStatus has no high watermark and no lag where Kafka did not answer.
type partitionStatus struct {
	Topic         string `json:"topic"`
	Partition     int32  `json:"partition"`
	Committed     int64  `json:"committed_offset"`
	HighWatermark *int64 `json:"high_watermark"`
	Lag           *int64 `json:"lag"`
	Ahead         int64  `json:"ahead,omitempty"` // offsets that the log is shorter than the table
	New           bool   `json:"new,omitempty"`   // not in the table yet
}

type tableStatus struct {
	*catalog.TableStatus
	AgeSeconds *float64 `json:"age_seconds"` // of the last snapshot; null without one
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
	s := &status{Namespace: cat.Namespace(), Warehouse: cfg.Warehouse, TopicPartitions: []partitionStatus{}}
	var offsets catalog.Offsets
	for _, def := range catalog.Definitions() {
		t, err := cat.Load(ctx, def.Name)
		if err != nil {
			return nil, err
		}
		ts, err := t.Status(ctx, cfg.Sink.TargetFileSize.Bytes()/4)
		if err != nil {
			return nil, err
		}
		row := tableStatus{TableStatus: ts}
		if ts.SnapshotID != 0 {
			age := now.Sub(ts.CommitTime).Seconds()
			row.AgeSeconds = &age
		}
		s.Tables = append(s.Tables, row)
		if def.Name == catalog.AgentEvents {
			if offsets, err = t.Offsets(); err != nil {
				return nil, err
			}
		}
	}
	lags, err := kafkaLag(ctx, cfg, offsets)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.KafkaError = strings.Join(strings.Fields(err.Error()), " ")
	}
	s.addPartitions(offsets, lags)
	return s, nil
}

// kafkaLag is nil where the configuration names no Kafka.
func kafkaLag(ctx context.Context, cfg *config.Config, offsets catalog.Offsets) ([]sink.PartitionLag, error) {
	if len(cfg.Kafka.Brokers) == 0 || len(cfg.Kafka.Topics) == 0 {
		return nil, nil
	}
	if err := pingKafka(ctx, cfg); err != nil {
		return nil, err
	}
	settings, err := sinkConfig(cfg)
	if err != nil {
		return nil, err
	}
	return sink.Lag(ctx, settings, offsets)
}

// addPartitions lists what Kafka has, and what only the tables know of.
func (s *status) addPartitions(offsets catalog.Offsets, lags []sink.PartitionLag) {
	seen := map[string]bool{}
	if lags != nil {
		s.Lag = new(int64)
	}
	for _, l := range lags {
		seen[fmt.Sprintf("%s/%d", l.Topic, l.Partition)] = true
		s.TopicPartitions = append(s.TopicPartitions, partitionStatus{l.Topic, l.Partition, l.Committed, &l.HighWatermark, &l.Lag, l.Ahead, l.New})
		*s.Lag += l.Lag
	}
	for _, tp := range offsets.Keys() {
		if !seen[tp.String()] {
			s.TopicPartitions = append(s.TopicPartitions, partitionStatus{Topic: tp.Topic, Partition: tp.Partition, Committed: offsets[tp].Next})
		}
	}
}

func (a *app) sayStatus(s *status) error {
	number := func(n *int64) string {
		if n == nil {
			return "?"
		}
		return ui.Count(*n)
	}
	var rows [][]string
	for _, p := range s.TopicPartitions {
		committed := ui.Count(p.Committed)
		if p.New {
			committed = "none yet"
		}
		lag := number(p.Lag)
		if p.Ahead > 0 {
			lag = ui.Count(p.Ahead) + " ahead"
		}
		rows = append(rows, []string{fmt.Sprintf("%s/%d", p.Topic, p.Partition), committed, number(p.HighWatermark), lag})
	}
	if err := ui.Table(a.stdout, []string{"topic partition", "committed offset>", "high watermark>", "lag>"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, t := range s.Tables {
		snapshot, age := "none yet", ""
		if t.AgeSeconds != nil {
			snapshot, age = fmt.Sprint(t.SnapshotID), ui.Duration(time.Duration(*t.AgeSeconds*float64(time.Second)))
		}
		rows = append(rows, []string{
			s.Namespace + "." + t.Table, snapshot, age, ui.Count(int64(t.Snapshots)), ui.Count(int64(t.Files)),
			fmt.Sprintf("%.0f%%", 100*t.SmallRatio), ui.Bytes(t.Bytes), ui.Count(t.Rows),
		})
	}
	if err := a.say(""); err != nil {
		return err
	}
	if err := ui.Table(a.stdout, []string{"table", "last snapshot>", "age>", "snapshots>", "files>", "small>", "size>", "rows>"}, rows); err != nil {
		return err
	}
	for _, p := range s.TopicPartitions {
		if p.Ahead > 0 {
			a.note("the tables are ahead of the log of %s/%d: Kafka lost records after they were read, and run refuses to go on", p.Topic, p.Partition)
		}
	}
	if s.KafkaError != "" {
		if s.Lag == nil {
			a.note("no high watermarks: %s", s.KafkaError)
		} else {
			a.note("%s", s.KafkaError)
		}
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/envelope"
	"github.com/auditlake/auditlake/queries"
)

func newDeadLetters(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "List, show and replay records that hold no valid event",
		Long: `A record that the sink cannot read as an event is a row of dead_letters, byte for byte, with the reason.
A dead letter has the name TOPIC/PARTITION/OFFSET.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("dead-letters needs one of list, show, replay")
			}
			return unknownCommand(cmd, args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(newDeadLettersList(a), newDeadLettersShow(a), newDeadLettersReplay(a))
	return cmd
}

// letterFilter chooses dead letters.
type letterFilter struct {
	class, topic string
	partition    int32
	from, to     string
}

func addLetterFilter(cmd *cobra.Command) *letterFilter {
	f := &letterFilter{}
	flags := cmd.Flags()
	flags.StringVar(&f.class, "class", "", "only of this error `CLASS`")
	flags.StringVar(&f.topic, "topic", "", "only of this `TOPIC`")
	flags.Int32Var(&f.partition, "partition", -1, "only of this topic partition `N`")
	flags.StringVar(&f.from, "from", "", "only ingested from this `TIME` on: 2026-03-14, RFC 3339, or 7d for seven days ago (UTC)")
	flags.StringVar(&f.to, "to", "", "only ingested before this `TIME`")
	complete(cmd, "class", errorClasses()...)
	return f
}

func errorClasses() []string {
	var names []string
	for _, c := range envelope.ErrorClasses {
		names = append(names, string(c.Class))
	}
	return names
}

func (f *letterFilter) scan(now time.Time) (scan, error) {
	if classes := errorClasses(); f.class != "" && !slices.Contains(classes, f.class) {
		return scan{}, usagef("--class %q is no error class: they are %s", f.class, strings.Join(classes, ", "))
	}
	return (&scanFlags{from: f.from, to: f.to}).parse(now)
}

// where is the filter in SQL.
func (f *letterFilter) where() string {
	var terms []string
	if f.class != "" {
		terms = append(terms, "error_class = "+sqlText(f.class))
	}
	if f.topic != "" {
		terms = append(terms, "kafka_topic = "+sqlText(f.topic))
	}
	if f.partition >= 0 {
		terms = append(terms, fmt.Sprintf("kafka_partition = %d", f.partition))
	}
	if len(terms) == 0 {
		return "true"
	}
	return strings.Join(terms, " AND ")
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func newDeadLettersList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List dead letters, the latest first", Args: takes(0, 0, "")}
	filter := addLetterFilter(cmd)
	out := addRowsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := filter.scan(time.Now())
		if err != nil {
			return err
		}
		return a.withSession(cmd.Context(), s, func(_ *catalog.Catalog, session *queries.Session) error {
			form, err := a.rows(out)
			if err != nil {
				return err
			}
			_, err = session.SQL(cmd.Context(), `SELECT ingest_time, kafka_topic || '/' || kafka_partition || '/' || kafka_offset AS dead_letter,
				error_class, error_text, octet_length(value) AS bytes, sink_version FROM dead_letters WHERE `+filter.where()+`
				ORDER BY ingest_time DESC, kafka_topic, kafka_partition, kafka_offset DESC`, form, a.stdout)
			return err
		})
	}
	return cmd
}

// letter is one dead letter; bytes are base64 in JSON.
type letter struct {
	Topic      string         `json:"kafka_topic"`
	Partition  int32          `json:"kafka_partition"`
	Offset     int64          `json:"kafka_offset"`
	Timestamp  string         `json:"kafka_timestamp"`
	Key        []byte         `json:"kafka_key"`
	Headers    []letterHeader `json:"kafka_headers"`
	Value      []byte         `json:"value"` // null: a tombstone
	Class      string         `json:"error_class"`
	Text       string         `json:"error_text"`
	IngestTime string         `json:"ingest_time"`
	Version    string         `json:"sink_version"`
}

type letterHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

func (l *letter) name() string { return fmt.Sprintf("%s/%d/%d", l.Topic, l.Partition, l.Offset) }

// lettersSQL reads whole dead letters, in the order of the log.
func lettersSQL(where string) string {
	return `SELECT kafka_topic, kafka_partition, kafka_offset, kafka_timestamp, to_base64(kafka_key) AS kafka_key,
		list_transform(kafka_headers, lambda h: {'key': h.key, 'value': to_base64(h.value)}) AS kafka_headers,
		to_base64(value) AS value, error_class, error_text, ingest_time, sink_version
		FROM dead_letters WHERE ` + where + ` ORDER BY kafka_topic, kafka_partition, kafka_offset`
}

// letterID is the name of a dead letter.
type letterID struct {
	topic     string
	partition int32
	offset    int64
}

func parseLetterID(text string) (letterID, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		p, err1 := strconv.ParseInt(parts[1], 10, 32)
		o, err2 := strconv.ParseInt(parts[2], 10, 64)
		if parts[0] != "" && err1 == nil && err2 == nil && p >= 0 && o >= 0 {
			return letterID{parts[0], int32(p), o}, nil
		}
	}
	return letterID{}, usagef("%q names no dead letter: write TOPIC/PARTITION/OFFSET as `auditlake dead-letters list` shows it", text)
}

func (id letterID) where() string {
	return fmt.Sprintf("(kafka_topic = %s AND kafka_partition = %d AND kafka_offset = %d)", sqlText(id.topic), id.partition, id.offset)
}

func newDeadLettersShow(a *app) *cobra.Command {
	var details bool
	cmd := &cobra.Command{
		Use:     "show TOPIC/PARTITION/OFFSET",
		Short:   "Write a dead letter's value to stdout, byte for byte",
		Example: "  auditlake dead-letters show agent-events/0/4711 > record.bin\n  auditlake dead-letters show agent-events/0/4711 --details",
		Args:    takes(1, 1, "one TOPIC/PARTITION/OFFSET"),
	}
	cmd.Flags().BoolVar(&details, "details", false, "print everything that is known of it as JSON, bytes in base64")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseLetterID(args[0])
		if err != nil {
			return err
		}
		return a.withSession(cmd.Context(), scan{}, func(_ *catalog.Catalog, session *queries.Session) error {
			l, err := readLetter(cmd.Context(), session, id)
			if err != nil {
				return err
			}
			if details {
				return writeJSON(a.stdout, l)
			}
			if l.Value == nil {
				a.note("the record has no value (a tombstone)")
			}
			_, err = a.stdout.Write(l.Value)
			return err
		})
	}
	return cmd
}

func readLetter(ctx context.Context, session *queries.Session, id letterID) (*letter, error) {
	var out bytes.Buffer
	if _, err := session.SQL(ctx, lettersSQL(id.where()), queries.Output{Format: queries.NDJSON}, &out); err != nil {
		return nil, err
	}
	if out.Len() == 0 {
		return nil, fmt.Errorf("no dead letter %s/%d/%d: `auditlake dead-letters list` shows what there is", id.topic, id.partition, id.offset)
	}
	var l letter
	if err := json.NewDecoder(&out).Decode(&l); err != nil {
		return nil, fmt.Errorf("read dead letter: %w", err)
	}
	return &l, nil
}

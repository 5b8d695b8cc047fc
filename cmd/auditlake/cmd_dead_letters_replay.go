package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/queries"
)

func newDeadLettersReplay(a *app) *cobra.Command {
	var (
		all, dryRun bool
		toTopic     string
	)
	cmd := &cobra.Command{
		Use:   "replay [TOPIC/PARTITION/OFFSET ...]",
		Short: "Send dead letters to their topic again",
		Long: `Sends what is chosen, by name or by filter, to its topic again: value, key and headers as they were, under a
new timestamp. The dead letters stay in the table; the replay is logged to maintenance_log with where each one went.
A replay is not idempotent: what is replayed twice is in the topic twice.`,
		Example: "  auditlake dead-letters replay agent-events/0/4711\n  auditlake dead-letters replay --class too_large --from 7d --dry-run",
		Args:    takes(0, -1, ""),
	}
	filter := addLetterFilter(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "replay every dead letter")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "list what would be sent and send nothing")
	cmd.Flags().StringVar(&toTopic, "to-topic", "", "send to this `TOPIC`, not the one it came from")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		where, s, err := chooseLetters(args, filter, all)
		if err != nil {
			return err
		}
		cfg, err := a.loadKafkaConfig()
		if err != nil {
			return err
		}
		return a.withSession(cmd.Context(), s, func(cat *catalog.Catalog, session *queries.Session) error {
			if dryRun {
				_, err := session.SQL(cmd.Context(), `SELECT kafka_topic || '/' || kafka_partition || '/' || kafka_offset AS dead_letter,
					error_class, error_text FROM dead_letters WHERE `+where+` ORDER BY kafka_topic, kafka_partition, kafka_offset`,
					queries.Output{Format: queries.Table}, a.stdout)
				a.note("dry run: nothing was sent")
				return err
			}
			client, err := kafkaClient(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer client.Close()
			r := &replay{client: client, toTopic: toTopic, where: where, started: time.Now()}
			return a.replay(cmd.Context(), cat, session, r)
		})
	}
	return cmd
}

func chooseLetters(args []string, filter *letterFilter, all bool) (where string, s scan, err error) {
	filtered := *filter != letterFilter{partition: -1}
	if s, err = filter.scan(time.Now()); err != nil {
		return "", s, err
	}
	switch {
	case len(args) > 0 && (filtered || all):
		return "", s, usagef("names and filters both choose dead letters: give the one or the other")
	case len(args) > 0:
		terms := make([]string, len(args))
		for i, arg := range args {
			id, err := parseLetterID(arg)
			if err != nil {
				return "", s, err
			}
			terms[i] = id.where()
		}
		return "(" + strings.Join(terms, " OR ") + ")", s, nil
	case !filtered && !all:
		return "", s, usagef("replay needs to know which dead letters: name them, filter them (--class, --topic, --partition, --from, --to), or give --all")
	}
	return filter.where(), s, nil
}

// replay is one run of dead-letters replay.
type replay struct {
	client  *kgo.Client
	toTopic string
	where   string
	started time.Time

	mu   sync.Mutex
	sent []sentLetter
	errs []error
}

// sentLetter says where a dead letter went.
type sentLetter struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// maxLogged bounds how many places one row of maintenance_log lists.
const maxLogged = 10_000

// replay reads dead letters as they come and sends them; the log tells what was
// sent even where it broke off.
func (a *app) replay(ctx context.Context, cat *catalog.Catalog, session *queries.Session, r *replay) error {
	pr, pw := io.Pipe()
	read := make(chan error, 1)
	go func() {
		_, err := session.SQL(ctx, lettersSQL(r.where), queries.Output{Format: queries.NDJSON}, pw)
		_ = pw.CloseWithError(err) // always nil
		read <- err
	}()
	sendErr := r.send(ctx, pr)
	_ = pr.CloseWithError(sendErr) // always nil; ends the reader if it still writes
	err := errors.Join(<-read, sendErr)
	if len(r.sent) == 0 {
		if err == nil {
			a.note("no dead letter was chosen")
			err = errNothingToDo
		}
		return err
	}
	logCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if e := r.log(logCtx, cat); e != nil {
		err = errors.Join(err, fmt.Errorf("log the replay of %d dead letters: %w", len(r.sent), e))
	}
	if e := a.say("replayed %s", ui.Plural(int64(len(r.sent)), "dead letter", "dead letters")); err == nil {
		err = e
	}
	return err
}

func (r *replay) send(ctx context.Context, from io.Reader) error {
	letters := json.NewDecoder(from)
	for {
		var l letter
		if err := letters.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		rec := &kgo.Record{Topic: l.Topic, Key: l.Key, Value: l.Value}
		if r.toTopic != "" {
			rec.Topic = r.toTopic
		}
		for _, h := range l.Headers {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		r.client.Produce(ctx, rec, func(rec *kgo.Record, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("send %s: %w", l.name(), err))
				return
			}
			r.sent = append(r.sent, sentLetter{l.name(), fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset)})
		})
	}
	if err := r.client.Flush(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) > 0 {
		return r.errs[0]
	}
	return nil
}

func (r *replay) log(ctx context.Context, cat *catalog.Catalog) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.sent[:min(len(r.sent), maxLogged)]
	detail, err := json.Marshal(map[string]any{"chosen_by": r.where, "sent": list, "omitted": len(r.sent) - len(list)})
	if err != nil {
		return err
	}
	var topics []string
	for _, l := range r.sent {
		if topic, _, _ := strings.Cut(l.To, "/"); !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	return cat.LogMaintenance(ctx, catalog.MaintenanceEntry{
		RunID: uuid.NewString(), Job: "dead_letter_replay", Started: r.started, Finished: time.Now(), Actor: actor(),
		Target: strings.Join(topics, ", "), Detail: string(detail), Rows: int64(len(r.sent)),
	}, readVersions().Version)
}

// actor names who runs this process, for the log.
func actor() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

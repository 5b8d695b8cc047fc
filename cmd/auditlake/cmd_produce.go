package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/feed"
	"github.com/auditlake/auditlake/cmd/auditlake/internal/ui"
	"github.com/auditlake/auditlake/envelope"
)

// produceFlags say where events go and how; produce and gen share them.
type produceFlags struct {
	topic      string
	partitions int32
	rate       float64
}

func addProduceFlags(cmd *cobra.Command) *produceFlags {
	p := &produceFlags{}
	cmd.Flags().StringVar(&p.topic, "topic", "", "`TOPIC` to send to (else the first name of kafka.topics)")
	cmd.Flags().Int32Var(&p.partitions, "create-topic", 0, "make the topic with `N` partitions where it is not there")
	cmd.Flags().Float64Var(&p.rate, "rate", 0, "most events a second; 0 is as fast as it goes")
	return p
}

func newProduce(a *app) *cobra.Command {
	var (
		rebase string
		raw    bool
	)
	cmd := &cobra.Command{
		Use:   "produce FILE...",
		Short: "Send events from files of NDJSON to a topic",
		Long: `Sends one record a line, keyed by session so that a session keeps its order, under the event's own time. A line
that is no valid event stops it with the line's number; --raw sends such lines too. FILE may be - for stdin.`,
		Example: "  auditlake produce runs.ndjson\n  auditlake produce --rebase-time now --create-topic 3 runs.ndjson",
		Args:    takes(1, -1, "at least one FILE"),
	}
	flags := addProduceFlags(cmd)
	cmd.Flags().StringVar(&rebase, "rebase-time", "", "move the events of a file in time, all by the same span, so that the newest lands at this `TIME`, such as now")
	cmd.Flags().BoolVar(&raw, "raw", false, "send every line as it is, valid event or not")
	out := outputFlags(cmd, asTable, asJSON)
	complete(cmd, "rebase-time", "now")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		form, err := out.form()
		if err != nil {
			return err
		}
		target, err := parseTime("rebase-time", rebase, time.Now())
		if err != nil {
			return err
		}
		if err := readable(args); err != nil {
			return err
		}
		opts, err := a.producing(cmd.Context(), flags)
		if err != nil {
			return err
		}
		opts.RebaseTo, opts.Raw = target, raw
		sum, err := a.produceFiles(cmd.Context(), opts, args)
		var invalid *envelope.Invalid
		if errors.As(err, &invalid) {
			err = fmt.Errorf("%w: mend the line, or give --raw to send such lines too", err)
		}
		if err == nil {
			err = a.saySent(sum, opts.Topic, form)
		}
		return err
	}
	return cmd
}

// readable finds a file that cannot be read before anything is sent.
func readable(paths []string) error {
	for _, path := range paths {
		if path == "-" {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return usagef("%v: name a file of NDJSON that can be read", err)
		}
		info, err := f.Stat()
		_ = f.Close() // it was only looked at
		if err == nil && info.IsDir() {
			return usagef("%s is a folder: name files of NDJSON", path)
		}
	}
	return nil
}

// producing connects flags and configuration, and makes the topic if it is asked to.
func (a *app) producing(ctx context.Context, flags *produceFlags) (feed.ProduceOptions, error) {
	opts := feed.ProduceOptions{Topic: flags.topic, Rate: flags.rate}
	if flags.rate < 0 {
		return opts, usagef("--rate must not be negative; 0 is as fast as it goes")
	}
	cfg, err := a.loadKafkaConfig()
	if err != nil {
		return opts, err
	}
	if opts.Topic == "" {
		opts.Topic = cfg.Kafka.FirstTopic()
	}
	if opts.Topic == "" {
		return opts, usagef("kafka.topics holds patterns only: name the topic to send to by --topic")
	}
	opts.Brokers = cfg.Kafka.Brokers
	if opts.Client, err = kafkaOptions(cfg); err != nil {
		return opts, err
	}
	opts.Limits = limits(cfg)
	if flags.partitions == 0 {
		return opts, nil
	}
	created, err := feed.EnsureTopic(ctx, opts.Client, opts.Brokers, opts.Topic, flags.partitions)
	if created {
		a.note("made topic %s with %s", opts.Topic, ui.Plural(int64(flags.partitions), "partition", "partitions"))
	}
	return opts, err
}

func (a *app) produceFiles(ctx context.Context, opts feed.ProduceOptions, paths []string) (feed.Produced, error) {
	var total int64
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			total += info.Size()
		} else {
			total = -1 // stdin: nobody knows
			break
		}
	}
	bar := ui.NewByteProgress(a.stderr, "sending", total)
	defer bar.Done()
	var sum feed.Produced
	for _, path := range paths {
		before := sum.Bytes
		opts.Progress = func(_, bytes int64) { bar.Set(before + bytes) }
		one, err := a.produceFile(ctx, opts, path)
		sum.Lines, sum.Bytes, sum.Elapsed = sum.Lines+one.Lines, sum.Bytes+one.Bytes, sum.Elapsed+one.Elapsed
		if one.Newest.After(sum.Newest) {
			sum.Newest = one.Newest
		}
		sum.Shift = one.Shift
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func (a *app) produceFile(ctx context.Context, opts feed.ProduceOptions, path string) (sum feed.Produced, err error) {
	if path == "-" {
		return feed.Produce(ctx, opts, "stdin", struct{ io.Reader }{a.stdin})
	}
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return feed.Produce(ctx, opts, path, f)
}

// sent is what `produce --json` prints.
type sent struct {
	Topic        string     `json:"topic"`
	Records      int64      `json:"records"`
	Bytes        int64      `json:"bytes"`
	Newest       *time.Time `json:"newest_event"`
	ShiftSeconds float64    `json:"shift_seconds"`
	Seconds      float64    `json:"seconds"`
}

func (a *app) saySent(sum feed.Produced, topic, form string) error {
	if form == asJSON {
		s := sent{topic, sum.Lines, sum.Bytes, nil, sum.Shift.Seconds(), sum.Elapsed.Seconds()}
		if !sum.Newest.IsZero() {
			s.Newest = &sum.Newest
		}
		return writeJSON(a.stdout, s)
	}
	text := ""
	if sum.Shift != 0 {
		text = ", moved by " + ui.Duration(sum.Shift)
	}
	return a.say("sent %s (%s) to topic %s in %s%s", ui.Plural(sum.Lines, "record", "records"), ui.Bytes(sum.Bytes), topic, ui.Duration(sum.Elapsed), text)
}

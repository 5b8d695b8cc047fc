package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditlake/auditlake/catalog"
)

// producer sends events and remembers when it was asked to, by offset.
type producer struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	late   time.Duration // the longest that it fell behind its rate

	mu    sync.Mutex
	times map[int32]map[int64]time.Time
	acked int64
	err   error
}

// newProducer makes the topic, where it is not there.
func newProducer(ctx context.Context, f *freshness) (*producer, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(f.brokers, ",")...), kgo.DefaultProduceTopic(f.topic),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerLinger(5*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	p := &producer{client: client, admin: kadm.NewClient(client), topic: f.topic, times: map[int32]map[int64]time.Time{}}
	if f.topic == benchTopic {
		return p, nil
	}
	if _, err := p.admin.CreateTopic(ctx, int32(f.partitions), 1, nil, f.topic); err != nil {
		client.Close()
		return nil, fmt.Errorf("make topic %s: %w", f.topic, err)
	}
	return p, nil
}

// close deletes the topic that newProducer made.
func (p *producer) close() {
	if p.topic != benchTopic {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := p.admin.DeleteTopic(ctx, p.topic)
		_, groupErr := p.admin.DeleteGroup(ctx, p.topic)
		if err := errors.Join(err, groupErr); err != nil {
			fmt.Fprintf(os.Stderr, "bench: topic and group %s are left behind: %v\n", p.topic, err)
		}
	}
	p.client.Close()
}

// first sends one event whose time does not count.
func (p *producer) first(ctx context.Context, lines *bufio.Scanner) error {
	if !lines.Scan() {
		return errors.Join(errors.New("no event"), lines.Err())
	}
	if err := p.client.ProduceSync(ctx, &kgo.Record{Value: []byte(lines.Text())}).FirstErr(); err != nil {
		return err
	}
	p.acked++
	return nil
}

// run sends what is left, at the rate.
func (p *producer) run(ctx context.Context, lines *bufio.Scanner, rate int) error {
	began := time.Now()
	for n := 0; lines.Scan(); n++ {
		due := began.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		if wait := time.Until(due); wait > time.Millisecond {
			time.Sleep(wait)
		}
		now := time.Now()
		p.late = max(p.late, now.Sub(due))
		p.client.Produce(ctx, &kgo.Record{Value: []byte(lines.Text())}, func(r *kgo.Record, err error) { p.done(r, now, err) })
	}
	if err := errors.Join(lines.Err(), p.client.Flush(ctx)); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *producer) done(r *kgo.Record, produced time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = errors.Join(p.err, err)
		return
	}
	if p.times[r.Partition] == nil {
		p.times[r.Partition] = map[int64]time.Time{}
	}
	p.times[r.Partition][r.Offset] = produced
	p.acked++
}

// sent is the number of events that the broker has.
func (p *producer) sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked
}

// reader loads the table again and again, as who asks for the newest rows would.
type reader struct {
	cat   *catalog.Catalog
	topic string
	at    string // metadata file
	rows  int64
	files int
	seen  []sight
}

// sight is when a reader first had the rows of a snapshot.
type sight struct {
	at      time.Time
	offsets catalog.Offsets
}

// until looks at the table every 50 ms, until enough says so.
func (r *reader) until(ctx context.Context, enough func() bool, bound time.Duration, ended <-chan struct{}) error {
	deadline := time.After(bound)
	for {
		if err := r.look(ctx); err != nil {
			return err
		}
		if enough() {
			return nil
		}
		select {
		case <-ended:
			return errors.New("the sink ended")
		case <-deadline:
			return fmt.Errorf("after %v the table has %d rows", bound, r.rows)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// look plans a query of the newest snapshot, where it is new.
func (r *reader) look(ctx context.Context) error {
	table, err := r.cat.Load(ctx, catalog.AgentEvents)
	if err != nil || table.MetadataLocation() == r.at {
		return err
	}
	plan, err := table.Plan(ctx, catalog.PlanOptions{})
	if err != nil {
		return err
	}
	offsets, err := table.Offsets()
	if err != nil {
		return err
	}
	now := time.Now() // whoever asks has the files by now
	r.at, r.files, r.rows = table.MetadataLocation(), len(plan.Files), 0
	for _, f := range plan.Files {
		r.rows += f.Rows
	}
	r.seen = append(r.seen, sight{now, offsets})
	return nil
}

// waits are the times from produce to the first sight, of each event.
func (r *reader) waits(p *producer) []time.Duration {
	var out []time.Duration
	next := map[int32]int64{}
	for _, s := range r.seen {
		for tp, o := range s.offsets {
			for offset := next[tp.Partition]; offset < o.Next; offset++ {
				if produced, ok := p.times[tp.Partition][offset]; ok {
					out = append(out, s.at.Sub(produced))
				}
			}
			next[tp.Partition] = max(next[tp.Partition], o.Next)
		}
	}
	return out
}

func openLines(path string) (lines *bufio.Scanner, done func(), err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	lines = bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	return lines, func() { _ = file.Close() }, nil
}

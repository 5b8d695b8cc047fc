package sink

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditlake/auditlake/internal/faultproxy"
)

var (
	soakFor  = flag.Duration("soak", 10*time.Second, "how long TestSoak lets faults happen")
	soakSeed = flag.Uint64("soak.seed", 0, "the seed of the faults of TestSoak; 0 for another one each time")
)

// TestSoak lets two sinks of one group, on S3, a SQL catalog and three brokers, meet
// every fault at random while records keep coming. When the faults end the sinks
// catch up, and every record is in the tables once. A seed makes the same faults in
// the same order at the same times; what they hit is the machine's timing.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64N(1e12) + 1
	}
	t.Logf("again: go test ./sink -run TestSoak -soak %v -soak.seed %d", *soakFor, seed)
	s := newSoak(t, seed)
	for began := time.Now(); time.Since(began) < *soakFor; {
		s.fault()
		s.revive()
		for range 1 + s.rng.IntN(5) {
			s.produce(s.rng.IntN(40), 7)
			time.Sleep(time.Duration(s.rng.IntN(60)) * time.Millisecond)
		}
		if s.rng.IntN(3) == 0 {
			s.mend()
		}
		if s.rng.IntN(12) == 0 {
			s.replace()
		}
	}
	s.mend()
	for range 20 { // a start that met the last fault ends now
		s.revive()
		time.Sleep(100 * time.Millisecond)
	}
	s.awaitAll(s.sinks...)
	for _, d := range s.sinks {
		t.Logf("began again %d times, out of the group %d times, %d snapshot commits", d.has("failed; what is pending"), d.has("out of the consumer group"), d.Stats().Commits)
		d.end(t)
	}
	t.Logf("%d records, %d faults: %v", s.sent, s.faultsMade, s.made)
	s.requireOnce()
}

// soak is a lab in which everything may fail.
type soak struct {
	*lab
	rng   *rand.Rand
	store *faultproxy.HTTP
	wire  *faultproxy.Switch
	sinks []*daemon

	lands      chan bool // what becomes of the next snapshot commits
	faultsMade int
	made       map[string]int
}

func newSoak(t *testing.T, seed uint64) *soak {
	s := &soak{rng: rand.New(rand.NewPCG(seed, 9)), wire: faultproxy.NewSwitch(t), lands: make(chan bool, 100), made: map[string]int{}}
	tables, store := onS3(t)
	tables.Storage.S3.MaxAttempts, tables.Storage.S3.AttemptTimeout = 2, 2*time.Second
	tables.Intercept = func(_ string, land func() error) error {
		select {
		case lands := <-s.lands:
			if lands {
				return errors.Join(land(), errTest)
			}
			return errTest
		default:
			return land()
		}
	}
	s.store = store
	s.lab = newFaultLab(t, 3, tables)
	for range 2 {
		s.sinks = append(s.sinks, s.begin())
	}
	return s
}

func (s *soak) begin() *daemon {
	return s.start(func(cfg *Config) {
		cfg.TargetLag, cfg.CommitTimeout, cfg.MaxBatchRows = 150*time.Millisecond, 3*time.Second, 200
		cfg.Client = []kgo.Opt{kgo.Dialer(s.wire.Dial), kgo.RequestTimeoutOverhead(time.Second),
			kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(50 * time.Millisecond)}
	})
}

// revive starts sinks again that ended before they had begun, as a supervisor does:
// only a daemon that has begun goes on by itself.
func (s *soak) revive() {
	for i, d := range s.sinks {
		select {
		case err := <-d.ended:
			require.Zero(s.t, d.has("msg=assigned"), "the sink ended: %v", err)
			s.sinks[i] = s.begin()
			s.made["a start refused"]++
		default:
		}
	}
}

// fault makes one more thing fail, until it has happened or is mended.
func (s *soak) fault() {
	s.faultsMade++
	r := s.rng
	switch r.IntN(6) {
	case 0, 1:
		f := storeFaults[r.IntN(len(storeFaults))]
		q := storeRequests[r.IntN(len(storeRequests))]
		s.store.Break(q.kind, q.word, 1+r.IntN(3), f.broken)
		s.made["store"]++
	case 2:
		words := []string{"", "/data/", "/metadata/"}
		s.store.Break("", words[r.IntN(len(words))], 1+r.IntN(2), []faultproxy.Fault{faultproxy.Stalls, faultproxy.Slowly(time.Second)}[r.IntN(2)])
		s.made["store hangs"]++
	case 3:
		for range 1 + r.IntN(3) {
			select {
			case s.lands <- r.IntN(2) == 0:
			default:
			}
		}
		s.made["catalog"]++
	case 4:
		faults := []func(*faultproxy.TCP){
			(*faultproxy.TCP).Cut, func(p *faultproxy.TCP) { p.Refuse(true) }, func(p *faultproxy.TCP) { p.Stall(true) },
		}
		s.wire.Each(faults[r.IntN(len(faults))])
		s.made["network to Kafka"]++
	default:
		s.kafkaFault()
	}
}

func (s *soak) kafkaFault() {
	r := s.rng
	switch r.IntN(3) {
	case 0:
		if err := s.broker.MoveTopicPartition(testTopic, r.Int32N(3), r.Int32N(3)); err != nil {
			s.t.Fatal(err)
		}
		s.made["leader"]++
	case 1:
		s.broker.RehashCoordinators()
		s.made["coordinator"]++
	default:
		errs := map[kmsg.Key][]*kerr.Error{
			kmsg.Fetch:        {kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownServerError},
			kmsg.OffsetCommit: {kerr.UnknownMemberID, kerr.UnknownServerError, kerr.NotCoordinator},
			kmsg.Heartbeat:    {kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.NotCoordinator},
			kmsg.ListOffsets:  {kerr.NotLeaderForPartition, kerr.UnknownServerError},
		}
		key := []kmsg.Key{kmsg.Fetch, kmsg.OffsetCommit, kmsg.Heartbeat, kmsg.ListOffsets}[r.IntN(4)]
		s.broker.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: errs[key][r.IntN(len(errs[key]))], Count: 1 + r.IntN(3)})
		s.made[fmt.Sprint("Kafka ", key.Name())]++
	}
}

// mend ends what fails until it is mended.
func (s *soak) mend() {
	s.store.Mend()
	s.wire.Each((*faultproxy.TCP).Mend)
	for len(s.lands) > 0 {
		<-s.lands
	}
}

// replace stops a sink in the middle of it all and starts another one.
func (s *soak) replace() {
	i := s.rng.IntN(len(s.sinks))
	s.sinks[i].stop()
	select {
	case <-s.sinks[i].ended: // perhaps with what it could not commit in time
	case <-time.After(faultPatience):
		s.t.Fatalf("a sink does not end: %s", s.sinks[i].lines.text())
	}
	s.sinks[i] = s.begin()
	require.NotNil(s.t, s.sinks[i])
	s.made["a sink replaced"]++
}

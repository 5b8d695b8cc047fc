package groupkeeper

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	topic   = "t"
	group   = "g"
	session = 500 * time.Millisecond
	// patience is less than the minute and more that a client waits for an answer that
	// does not come.
	patience = 30 * time.Second
)

func start(t *testing.T) (address string, admin *kadm.Client) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, topic), kfake.GroupMinSessionTimeout(100*time.Millisecond), kfake.ListenFn(Listen))
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	address = broker.ListenAddrs()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return address, kadm.NewClient(client)
}

// join has a member join.
func join(t *testing.T, address string, more ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(more, kgo.SeedBrokers(address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.SessionTimeout(session), kgo.HeartbeatInterval(session/5))...)
	require.NoError(t, err)
	t.Cleanup(client.CloseAllowingRebalance)
	return client
}

// requireStable waits until a group has so many members, each with its share.
func requireStable(t *testing.T, admin *kadm.Client, members int) {
	t.Helper()
	require.Eventually(t, func() bool {
		groups, err := admin.DescribeGroups(context.Background(), group)
		if err != nil || groups[group].State != "Stable" || len(groups[group].Members) != members {
			return false
		}
		for _, m := range groups[group].Members {
			if a, ok := m.Assigned.AsConsumer(); !ok || len(a.Topics) == 0 {
				return false
			}
		}
		return true
	}, patience, 20*time.Millisecond)
}

// A member is busy for longer than a session while a third one joins: the second one,
// which waits, stays a member.
func TestMembersWaitForABusyOne(t *testing.T) {
	address, admin := start(t)
	busy := join(t, address, kgo.BlockRebalanceOnPoll())
	join(t, address)
	requireStable(t, admin, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	busy.PollFetches(ctx) // busy until it allows a rebalance
	join(t, address)
	time.Sleep(4 * session)
	busy.AllowRebalance()
	requireStable(t, admin, 3)
}

// A member dies while it waits for a rebalance to end, and another one is busy
// meanwhile.
func TestOneDiesWhileItWaits(t *testing.T) {
	address, admin := start(t)
	busy := join(t, address, kgo.BlockRebalanceOnPoll())
	requireStable(t, admin, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	busy.PollFetches(ctx)

	doomed, err := net.Dial("tcp", address)
	require.NoError(t, err)
	id := knock(t, doomed, "").MemberID
	send(t, doomed, id)
	require.Eventually(t, func() bool {
		groups, err := admin.DescribeGroups(context.Background(), group)
		return err == nil && len(groups[group].Members) == 2
	}, patience, 20*time.Millisecond)
	require.NoError(t, doomed.Close())
	busy.AllowRebalance()
	join(t, address)
	requireStable(t, admin, 2)
}

// knock sends a JoinGroup and waits for its answer.
func knock(t *testing.T, c net.Conn, id string) *kmsg.JoinGroupResponse {
	send(t, c, id)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 4096)
	n, err := c.Read(b)
	require.NoError(t, err)
	answer := kmsg.NewPtrJoinGroupResponse()
	answer.Version = 5
	require.NoError(t, answer.ReadFrom(b[8:n]))
	return answer
}

func send(t *testing.T, c net.Conn, id string) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.ProtocolType = 5, group, id, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(session.Milliseconds()), 60_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "cooperative-sticky", kgo.CooperativeStickyBalancer().JoinGroupMetadata([]string{topic}, nil, -1)
	r.Protocols = append(r.Protocols, p)
	_, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, r, 1))
	require.NoError(t, err)
}

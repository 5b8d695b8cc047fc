package sink

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What a sink says of its membership and of what it has still to take over.
func TestMembership(t *testing.T) {
	var said Stats
	cfg := Config{Brokers: []string{"b"}, Topics: []string{"t"}, OnProgress: func(s Stats) { said = s }}
	s, err := New(cfg, nil)
	require.NoError(t, err)
	ctx := context.Background()
	given := map[string][]int32{"t": {0, 1}}
	requireSaid := func(member, taking bool, why string) {
		t.Helper()
		require.Equal(t, member, said.Member)
		require.Equal(t, taking, !said.TakingOver.IsZero())
		require.Equal(t, why, said.TakeOverErr)
	}
	s.joined(ctx, nil, nil)
	requireSaid(true, false, "")
	s.joined(ctx, nil, given)
	requireSaid(true, true, "")
	began := said.TakingOver
	s.couldNotTakeOver(errors.New("503"))
	requireSaid(true, true, "503")
	// The client leaves the session and joins again: that is no success.
	s.lost(ctx, nil, given)
	require.NoError(t, s.fetchErrors(kgo.NewErrFetch(&kgo.ErrGroupSession{Err: errors.New("503")})))
	requireSaid(false, true, "503")
	require.Contains(t, s.Stats().GroupErr, "503")
	s.joined(ctx, nil, given)
	requireSaid(true, true, "503")
	require.Equal(t, began, said.TakingOver)
	require.Empty(t, said.GroupErr)
	require.NoError(t, s.fetchErrors(kgo.NewErrFetch(&kgo.ErrGroupSession{Err: errors.New("of before")})))
	require.Empty(t, s.Stats().GroupErr, "it has joined since")
	// A part goes to another sink before it was taken over, the other one is taken over.
	s.revoked(ctx, nil, map[string][]int32{"t": {1}})
	requireSaid(true, true, "503")
	s.tookOver([]topicPartition{{"t", 0}})
	requireSaid(true, false, "")
	// Given to nobody: nothing is left to take over.
	s.joined(ctx, nil, given)
	s.couldNotTakeOver(errors.New("503"))
	s.lost(ctx, nil, given)
	s.joined(ctx, nil, nil)
	requireSaid(true, false, "")
	s.joined(ctx, nil, given)
	s.revoked(ctx, nil, given)
	requireSaid(true, false, "")
}

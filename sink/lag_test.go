package sink

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// Lag is what is left to read. A table that is ahead of its log is said, and takes
// nothing off the lag of others.
func TestLag(t *testing.T) {
	l := newLab(t)
	ctx := context.Background()
	l.produce(60, 0)
	l.deleteRecords() // never read, gone
	l.produce(60, 0)
	lags, err := Lag(ctx, l.config(), l.offsets())
	require.NoError(t, err)
	require.Len(t, lags, 3)
	sum := int64(0)
	for _, lag := range lags {
		require.True(t, lag.New)
		require.NotZero(t, lag.Committed, "it begins at its first record")
		sum += lag.Lag
	}
	require.EqualValues(t, 60, sum)

	l.catchUp(l.config())
	l.moveTables(100, 0)
	l.produce(60, 0)
	ends, err := l.admin.ListEndOffsets(ctx, l.topic)
	require.NoError(t, err)
	lags, err = Lag(ctx, l.config(), l.offsets())
	require.NoError(t, err)
	for _, lag := range lags {
		end, _ := ends.Lookup(l.topic, lag.Partition)
		require.False(t, lag.New)
		require.Equal(t, end.Offset, lag.HighWatermark)
		require.Equal(t, lag.HighWatermark, lag.Committed+lag.Lag-lag.Ahead)
		require.GreaterOrEqual(t, lag.Lag, int64(0))
		require.Equal(t, lag.Partition == 0, lag.Ahead > 0)
	}
}

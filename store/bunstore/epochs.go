package bunstore

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard/store"
)

type epochRow struct {
	bun.BaseModel `bun:"table:lanyard_epochs,alias:e"`

	Shard int   `bun:"shard,pk"`
	Epoch int64 `bun:"epoch"`
}

// Epochs implements [store.Epochs].
func (s *Store) Epochs(ctx context.Context) (*[store.Shards]int64, error) {
	return read(ctx, s, "Epochs", nil, func(ctx context.Context) (*[store.Shards]int64, error) {
		var rows []epochRow
		if err := s.db.NewSelect().Model(&rows).OrderExpr("shard").Scan(ctx); err != nil {
			return nil, err
		}
		if len(rows) != store.Shards {
			return nil, errEpochs
		}
		var epochs [store.Shards]int64
		for i, row := range rows {
			if row.Shard != i {
				return nil, errEpochs
			}
			epochs[i] = row.Epoch
		}
		return &epochs, nil
	})
}

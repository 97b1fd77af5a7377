package bunstore

import (
	"context"
	"errors"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard/store"
)

// damagedBatch is how many rows Damaged reads at once.
const damagedBatch = 1000

// Damaged is a row that no Store wrote: somebody else did, or changed it.
type Damaged struct {
	Table string
	ID    string // as it is in the table, where anybody may have chosen it
}

// Damaged reads the tables of API keys, connections and owner keys from end to
// end and names the rows that hold what no Store writes. The pages of
// [store.Maintenance] pass over them, so that one such row keeps nobody from the
// rest; a call that asks for one of them alone, or for all of its owner, returns
// [store.ErrDamaged]. Nobody but who knows how it came about can mend one: by SQL.
func (s *Store) Damaged(ctx context.Context) ([]Damaged, error) {
	return read(ctx, s, "Damaged", nil, func(ctx context.Context) ([]Damaged, error) {
		var all []Damaged
		for _, table := range []struct {
			name string
			scan func(ctx context.Context, s *Store, after *string, limit int) (damaged []string, last string, read int, err error)
		}{
			{"lanyard_api_keys", damagedRows[apiKeyRow]},
			{"lanyard_provider_tokens", damagedRows[providerTokenRow]},
			{"lanyard_owner_keys", damagedRows[ownerKeyRow]},
		} {
			var after *string
			for more := true; more; {
				ids, last, read, err := table.scan(ctx, s, after, damagedBatch)
				if err != nil {
					return nil, err
				}
				for _, id := range ids {
					all = append(all, Damaged{Table: table.name, ID: id})
				}
				after, more = &last, read == damagedBatch
			}
		}
		return all, nil
	})
}

func damagedRows[Row any, P pageRow[Row]](ctx context.Context, s *Store, after *string, limit int) (damaged []string, last string, read int, err error) {
	part, err := scanPart[Row, P](ctx, s, after, limit, everything)
	return part.damaged, part.last, len(part.sound) + len(part.damaged), err
}

// pageRow is a row with an id.
type pageRow[Row any] interface {
	*Row
	id() string

	// sound reports whether a Store may have written the row.
	sound() bool
}

func (r *apiKeyRow) id() string        { return r.ID }
func (r *ownerKeyRow) id() string      { return r.ID }
func (r *providerTokenRow) id() string { return r.ID }

// sound holds the shard against the owner as well: by another one, nobody would
// hear of a change of the key.
func (r *apiKeyRow) sound() bool {
	k := r.toRecord()
	return k.Validate() == nil && r.Shard == store.Shard(k.Owner)
}

func (r *providerTokenRow) sound() bool { return r.toRecord().Validate() == nil }

// sound asks for no more than a name: what else is wrong with an owner key shows
// when it is opened, and who rewraps them all is to hear of it.
func (r *ownerKeyRow) sound() bool { return r.ID != "" && clean(r.ID) }

// page reads up to limit rows after an id, in the order of their ids. It passes
// over those that hold what no Store wrote.
func page[Row any, P pageRow[Row]](ctx context.Context, s *Store, method, after string, limit int, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]Row, error) {
	return read(ctx, s, method, checkText("after", after), func(ctx context.Context) ([]Row, error) {
		var rows []Row
		for len(rows) < limit {
			want := limit - len(rows)
			part, err := scanPart[Row, P](ctx, s, &after, want, narrow)
			if err != nil {
				return nil, err
			}
			rows = append(rows, part.sound...)
			if len(part.sound)+len(part.damaged) < want {
				break
			}
			after = part.last
		}
		return rows, nil
	})
}

// part is what was read at once.
type part[Row any] struct {
	sound   []Row
	damaged []string // their ids
	last    string   // the last id, of either
}

// scanPart reads up to limit rows after an id, or from the beginning.
func scanPart[Row any, P pageRow[Row]](ctx context.Context, s *Store, after *string, limit int, narrow func(*bun.SelectQuery) *bun.SelectQuery) (part[Row], error) {
	var out part[Row]
	q := narrow(s.db.NewSelect().Model((*Row)(nil))).OrderExpr("id").Limit(int64(limit))
	switch {
	case after == nil:
	case clean(*after):
		q = q.Where("id > ?", *after)
	default: // of a SQLite file, which keeps any bytes as text; bun would write others
		q = q.Where("id > CAST(? AS TEXT)", []byte(*after))
	}
	rows, err := q.Rows(ctx)
	if err != nil {
		return out, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		row := P(new(Row))
		err := s.db.ScanRow(ctx, rows, row) // the id first, so that it is known where another column fails
		out.last = row.id()
		switch {
		case errors.Is(err, store.ErrDamaged), err == nil && !row.sound():
			out.damaged = append(out.damaged, out.last)
		case err != nil:
			return out, err
		default:
			out.sound = append(out.sound, *row)
		}
	}
	return out, rows.Err()
}

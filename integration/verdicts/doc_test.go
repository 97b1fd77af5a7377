// Package verdicts holds the verdict cache of package apikey to its promise
// where a test in one process cannot: between real processes that share a
// PostgreSQL or a SQLite file.
//
//   - A key that was deleted or rotated is refused at once by the process that
//     did it, and by another after MaxStale at the latest, also while polls
//     fail, answers are late or the line to the database is cut.
//   - A history of creations, rotations, deletions and verifications of two
//     processes is linearizable within that bound; see model.
//   - The epoch is written with the change and read with the row.
//   - What a store has to bear under load is bounded.
//
// Times of different processes are compared by the clock of the machine that
// nobody sets (CLOCK_MONOTONIC, clock_gettime(2)), which all of them read.
//
// A table of how long a deletion takes to reach another process, over as many
// deletions as one likes:
//
//	go test ./verdicts -run TestDeleteReachesAnotherProcess -v -args -trials 400
package verdicts_test

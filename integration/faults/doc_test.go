// Package faults breaks the database under lanyard's services and holds what
// is left to what they promise:
//
//   - no acknowledged write is lost, and a change of unknown outcome happened
//     whole or not at all;
//   - a request for a key that is repeated leaves one key that works;
//   - a deleted key does not verify once Delete has returned;
//   - every sealed row opens;
//   - no goroutine, connection, transaction or lock is left behind;
//   - every error is one of lanyard's, and every call ends in the time it was
//     given;
//   - each change has exactly one event, and none without a change.
//
// The faults come from outside: a server that is stopped, a network that is
// cut, a process that is killed, a disk that is full. No code of the library
// knows of them. Where a fault needs a certain moment, a driver between pool
// and database waits for it: see steps. What happens to migrations that are
// killed or race is tested beside them, in store/postgres and store/sqlite.
package faults_test

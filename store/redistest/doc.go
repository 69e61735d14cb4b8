// Package redistest gives tests a Redis: the one that CARILLON_TEST_REDIS_URL names, real server processes that a test
// may kill, halt and restart, a real Redis Cluster whose slots can be moved, or the embedded miniredis.
//
//   - [URL] is any Redis, shared by all tests: keep apart by group names, never flush it.
//   - [RealURL] is the same, but never the embedded one.
//   - [Start] is a server of the test's own, for faults and settings.
//   - [Cluster] is a Redis Cluster of the test's own.
//   - [Embedded] is a miniredis of the test's own.
//
// A test that needs a real server is skipped, with the reason on standard error, where no redis-server or valkey-server
// is on PATH. With CARILLON_TEST_REQUIRE_REDIS=1 it fails instead, so that a CI run cannot pass on skipped tests.
//
// Servers listen on loopback, keep an append-only file, evict nothing, and end with the test or, at the latest, with the
// test binary, however that ends. Nothing here leaves a goroutine behind.
package redistest

// Package stock runs the programs that people already have, unchanged, against
// tidemark: redis-cli, redis-benchmark and go-redis as clients, redis-check-aof
// on the directory that tidemark leaves, and a stock redis-server that takes the directory over.
package stock

//go:build race

package keyspace

const raceBuild = true

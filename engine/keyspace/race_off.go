//go:build !race

package keyspace

const raceBuild = false

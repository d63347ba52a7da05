package config

const (
	// Version is tidemark's own.
	Version = "0.1.0"
	// RedisVersion is the Redis whose behaviour is followed, and what clients are told.
	RedisVersion = "7.4.0"
)

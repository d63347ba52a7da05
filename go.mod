module tidemark

go 1.26.0

require (
	github.com/edsrzf/mmap-go v1.2.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
)

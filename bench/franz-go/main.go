// A plain loop around franz-go: what somebody writes in an afternoon. Copies TOPIC at FROM to COPY
// at TO until it is killed: idempotent, acknowledged by all replicas, and lingering for 20 ms.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if len(os.Args) != 6 {
		fail("wanted: FROM TO TOPIC COPY CODEC")
	}
	if err := copyForEver(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fail(err)
	}
}

func copyForEver(from, to, topic, copyTo, codec string) error {
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(from),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond),
	)
	if err != nil {
		return err
	}
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(to),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.ProducerBatchMaxBytes(256<<10),
		kgo.MaxBufferedRecords(100_000),
		kgo.ProducerBatchCompression(codecOf(codec)),
	)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for {
		fetches := consumer.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			producer.Produce(ctx, &kgo.Record{
				Topic:     copyTo,
				Partition: record.Partition,
				Key:       record.Key,
				Value:     record.Value,
				Headers:   record.Headers,
				Timestamp: record.Timestamp,
			}, func(_ *kgo.Record, err error) {
				if err != nil {
					fail(err)
				}
			})
		})
	}
}

func codecOf(name string) kgo.CompressionCodec {
	if name == "lz4" {
		return kgo.Lz4Compression()
	}
	return kgo.NoCompression()
}

func fail(cause any) {
	fmt.Fprintln(os.Stderr, "franz-go-loop:", cause)
	os.Exit(1)
}

// A program for a signal: sends orders of 100 and more to the destination `large.…`, others to
// `small.…`, and fails for those of 13.
//
//	./generate
//	go run . 127.0.0.1:50051
//	fnua signal orders.flows.orange.example --to large.flows.orange.example \
//	    small.flows.orange.example --program grpc://127.0.0.1:50051
//
// With the PEM files of a key and its certificates, calls come over TLS (`--program grpcs://...`):
//
//	go run . 0.0.0.0:50051 key.pem chain.pem
//
// It uses nothing but the published proto/eson/signal/v1/program.proto.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"

	"eson/example/signalv1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// The flow processor's batches have at most 256 events; one event may be large.
const largest = 64 << 20

type program struct {
	signalv1.UnimplementedProgramServiceServer
}

func (program) Process(_ context.Context, asked *signalv1.ProcessRequest) (*signalv1.ProcessResponse, error) {
	answer := &signalv1.ProcessResponse{}
	for _, input := range asked.GetInputs() {
		answer.Outcomes = append(answer.Outcomes, outcome(input))
	}
	return answer, nil
}

// What comes of one event: outputs, or a failure.
func outcome(input *signalv1.Input) *signalv1.Outcome {
	var order struct{ Amount *float64 }
	if err := json.Unmarshal(input.GetEvent().GetRecord().GetValue(), &order); err != nil {
		return failed(fmt.Sprintf("no order: %v", err))
	}
	switch {
	case order.Amount == nil:
		return failed("no order: it has no amount")
	case *order.Amount == 13:
		return failed("nobody buys for 13")
	case *order.Amount >= 100:
		return sent("large")
	default:
		return sent("small")
	}
}

func sent(flow string) *signalv1.Outcome {
	unchanged := &signalv1.Output_Unchanged{Unchanged: true}
	return &signalv1.Outcome{Outputs: []*signalv1.Output{{Flow: flow, Content: unchanged}}}
}

func failed(reason string) *signalv1.Outcome {
	return &signalv1.Outcome{Failure: &reason}
}

// TLS with a key and its certificates.
func secured(files []string) grpc.ServerOption {
	if len(files) != 2 {
		log.Fatal("give the file of the key and that of its certificates")
	}
	identity, err := credentials.NewServerTLSFromFile(files[1], files[0])
	if err != nil {
		log.Fatal(err)
	}
	return grpc.Creds(identity)
}

func main() {
	address := "127.0.0.1:50051"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(largest)}
	if len(os.Args) > 2 {
		options = append(options, secured(os.Args[2:]))
	}
	server := grpc.NewServer(options...)
	signalv1.RegisterProgramServiceServer(server, program{})
	log.Fatal(server.Serve(listener))
}

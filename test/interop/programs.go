// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build programs

// Package interop names the upstream programs that run_interop, run_official and
// run_h2spec build, so that go.mod and go.sum pin them. It is never built itself.
package interop

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "google.golang.org/grpc/examples/features/multiplex/client"
	_ "google.golang.org/grpc/examples/features/multiplex/server"
	_ "google.golang.org/grpc/examples/helloworld/greeter_client"
	_ "google.golang.org/grpc/examples/helloworld/greeter_server"
	_ "google.golang.org/grpc/examples/route_guide/client"
	_ "google.golang.org/grpc/examples/route_guide/server"
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)

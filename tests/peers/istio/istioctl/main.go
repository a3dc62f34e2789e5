// SPDX-License-Identifier: Apache-2.0

// istioctl: what `istioctl proxy-config WHAT -f FILE` prints, by istioctl's own packages. The whole
// istioctl wants a cluster even for a file, and 180 MB of modules more.
//
// usage: istioctl cluster|listener|route|eds|bootstrap|secret|ecds|all|endpoint [-o json|yaml] FILE
//
// FILE is a /config_dump?include_eds; for endpoint a /clusters?format=json.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	sdscompare "istio.io/istio/istioctl/pkg/writer/compare/sds"
	"istio.io/istio/istioctl/pkg/writer/envoy/clusters"
	"istio.io/istio/istioctl/pkg/writer/envoy/configdump"
	_ "istio.io/istio/pkg/config/xds" // as in istioctl: every type is known, and read strictly
)

var format = flag.String("o", "short", "short, json or yaml")

// What is printed: a table, or the objects.
func pick(summary func() error, dump func(format string) error) error {
	if *format == "short" {
		return summary()
	}
	return dump(*format)
}

func endpoints(text []byte) error {
	w := &clusters.ConfigWriter{Stdout: os.Stdout}
	if err := w.Prime(text); err != nil {
		return err
	}
	return pick(func() error { return w.PrintEndpointsSummary(clusters.EndpointFilter{}) },
		func(f string) error { return w.PrintEndpoints(clusters.EndpointFilter{}, f) })
}

func run(what string, text []byte) error {
	cf, lf := configdump.ClusterFilter{}, configdump.ListenerFilter{Verbose: true}
	rf, ef := configdump.RouteFilter{Verbose: true}, configdump.EndpointFilter{}
	w := &configdump.ConfigWriter{Stdout: os.Stdout}

	if what == "endpoint" {
		return endpoints(text)
	}
	if err := w.Prime(text); err != nil {
		return err
	}
	switch what {
	case "cluster":
		return pick(func() error { return w.PrintClusterSummary(cf) },
			func(f string) error { return w.PrintClusterDump(cf, f) })
	case "listener":
		return pick(func() error { return w.PrintListenerSummary(lf) },
			func(f string) error { return w.PrintListenerDump(lf, f) })
	case "route":
		return pick(func() error { return w.PrintRouteSummary(rf) },
			func(f string) error { return w.PrintRouteDump(rf, f) })
	case "eds":
		return pick(func() error { return w.PrintEndpointsSummary(ef) },
			func(f string) error { return w.PrintEndpoints(ef, f) })
	case "bootstrap":
		return pick(w.PrintBootstrapSummary, w.PrintBootstrapDump)
	case "secret":
		return pick(w.PrintSecretSummary, w.PrintSecretDump)
	case "ecds":
		return pick(w.PrintEcdsSummary, w.PrintEcds)
	case "all":
		configdump.SetPrintConfigTypeInSummary(true)
		sdscompare.SetPrintConfigTypeInSummary(true)
		return w.PrintFullSummary(cf, lf, rf, ef, true)
	}
	return errors.New("nothing is called " + what)
}

func main() {
	flag.CommandLine.Usage = func() { fmt.Fprintln(os.Stderr, "usage: istioctl [-o json|yaml] WHAT FILE") }
	flag.Parse()
	if flag.NArg() != 2 {
		flag.CommandLine.Usage()
		os.Exit(2)
	}
	text, err := os.ReadFile(flag.Arg(1))
	if err == nil {
		err = run(flag.Arg(0), text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

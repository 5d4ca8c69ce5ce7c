// Paho Go: paho.mqtt.golang (3.1.1) and autopaho of paho.golang (5).
//
// Usage: paho_go HOST PORT
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// patience is far more than a busy machine needs.
const patience = 30 * time.Second

// message is what a client of either version hears.
type message struct {
	payload  string
	qos      byte
	retained bool
	details  string // content type and user properties of 5
}

// party is a connected client of either version.
type party interface {
	subscribe(topic string, qos byte)
	publish(topic, payload string, qos byte, retained bool)
	take() message
	leave()
	breakOff() // the network fails: no DISCONNECT
	hasSession() bool
}

// hello says how a party connects.
type hello struct {
	id        string
	lasting   bool
	willTopic string
}

type version struct {
	name    string
	connect func(address string, hello hello) party
}

// demand ends the check that runs unless it is true.
func demand(isTrue bool, format string, values ...any) {
	if !isTrue {
		panic(fmt.Sprintf(format, values...))
	}
}

// succeed ends the check that runs if there is an error.
func succeed(err error) {
	if err != nil {
		panic(err.Error())
	}
}

func takeFrom(messages chan message) message {
	select {
	case taken := <-messages:
		return taken
	case <-time.After(patience):
		panic("waited in vain for a message")
	}
}

// own keeps this run's topics and identifiers apart from those of others.
func own(parts ...string) string {
	return fmt.Sprintf("paho-go-%d/%s", os.Getpid(), strings.Join(parts, "/"))
}

func eachQuality(version version, address string) {
	client := version.connect(address, hello{id: own(version.name, "quality")})
	for sent := byte(0); sent < 3; sent++ {
		for granted := byte(0); granted < 3; granted++ {
			topic := own(version.name, "quality", fmt.Sprint(sent, granted))
			client.subscribe(topic, granted)
			client.publish(topic, "presión", sent, false)
			taken := client.take()
			lower := sent
			if granted < sent {
				lower = granted
			}
			demand(taken.payload == "presión" && taken.qos == lower, "%+v at QoS %d, granted %d", taken, sent, granted)
		}
	}
	client.leave()
}

func willOfOneThatBreaksOff(version version, address string) {
	topic := own(version.name, "will")
	witness := version.connect(address, hello{id: own(version.name, "witness")})
	witness.subscribe(topic, 2)
	version.connect(address, hello{id: own(version.name, "mortal"), willTopic: topic}).breakOff()
	will := witness.take()
	demand(will.payload == "unexpected exit" && will.qos == 2, "%+v", will)
	witness.leave()
}

func retainedIsFound(version version, address string) {
	topic := own(version.name, "retained")
	client := version.connect(address, hello{id: own(version.name, "retaining")})
	client.publish(topic, "kept", 1, true)
	client.subscribe(topic, 1)
	taken := client.take()
	demand(taken.payload == "kept" && taken.retained, "%+v", taken)
	client.publish(topic, "", 1, true)
	client.leave()
}

func sessionIsResumed(version version, address string) {
	topic, id := own(version.name, "session"), own(version.name, "lasting")
	first := version.connect(address, hello{id: id, lasting: true})
	demand(!first.hasSession(), "a session was there")
	first.subscribe(topic, 1)
	first.leave()
	publisher := version.connect(address, hello{id: own(version.name, "publisher")})
	for _, payload := range []string{"one", "two", "three"} {
		publisher.publish(topic, payload, 1, false)
	}
	publisher.leave()
	again := version.connect(address, hello{id: id, lasting: true})
	demand(again.hasSession(), "the session is not there")
	for _, expected := range []string{"one", "two", "three"} {
		taken := again.take()
		demand(taken.payload == expected, "%+v and not %s", taken, expected)
	}
	again.leave()
	version.connect(address, hello{id: id}).leave()
}

func propertiesArrive(version version, address string) {
	topic := own(version.name, "properties")
	client := version.connect(address, hello{id: own(version.name, "describing")}).(*party5)
	client.subscribe(topic, 1)
	client.publishDescribed(topic, "x")
	taken := client.take()
	demand(taken.details == "text/plain place=home", "%+v", taken)
	client.leave()
}

var failures int

func check(version version, name, address string, body func(version, string)) {
	defer func() {
		if reason := recover(); reason != nil {
			fmt.Printf("FAILED Paho Go %s %s: %v\n", version.name, name, reason)
			failures++
			return
		}
		fmt.Printf("ok Paho Go %s %s\n", version.name, name)
	}()
	body(version, address)
}

func main() {
	address := net.JoinHostPort(os.Args[1], os.Args[2])
	versions := []version{{"3.1.1", connect3}, {"5", connect5}}
	for _, version := range versions {
		check(version, "each quality", address, eachQuality)
		check(version, "will of one that breaks off", address, willOfOneThatBreaksOff)
		check(version, "retained is found", address, retainedIsFound)
		check(version, "session is resumed", address, sessionIsResumed)
	}
	check(versions[1], "properties arrive", address, propertiesArrive)
	if failures > 0 {
		os.Exit(1)
	}
}

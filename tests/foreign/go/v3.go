package main

import (
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// party3 speaks 3.1.1 by paho.mqtt.golang.
type party3 struct {
	client   mqtt.Client
	wire     net.Conn
	messages chan message
	session  bool
}

func connect3(address string, hello hello) party {
	made := &party3{messages: make(chan message, 100)}
	options := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID(hello.id)
	options.SetProtocolVersion(4).SetCleanSession(!hello.lasting).SetAutoReconnect(false)
	options.SetDefaultPublishHandler(made.hear)
	options.SetCustomOpenConnectionFn(func(uri *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		wire, err := net.DialTimeout("tcp", uri.Host, patience)
		made.wire = wire
		return wire, err
	})
	if hello.willTopic != "" {
		options.SetWill(hello.willTopic, "unexpected exit", 2, false)
	}
	made.client = mqtt.NewClient(options)
	token := made.client.Connect()
	wait(token)
	made.session = token.(*mqtt.ConnectToken).SessionPresent()
	return made
}

func wait(token mqtt.Token) {
	demand(token.WaitTimeout(patience), "waited in vain for an answer")
	succeed(token.Error())
}

func (made *party3) hear(_ mqtt.Client, heard mqtt.Message) {
	made.messages <- message{payload: string(heard.Payload()), qos: heard.Qos(), retained: heard.Retained()}
}

func (made *party3) subscribe(topic string, qos byte) {
	token := made.client.Subscribe(topic, qos, nil)
	wait(token)
	granted := token.(*mqtt.SubscribeToken).Result()[topic]
	demand(granted == qos, "QoS %d was granted as %d", qos, granted)
}

func (made *party3) publish(topic, payload string, qos byte, retained bool) {
	wait(made.client.Publish(topic, qos, retained, payload))
}

func (made *party3) take() message    { return takeFrom(made.messages) }
func (made *party3) leave()           { made.client.Disconnect(uint(time.Second / time.Millisecond)) }
func (made *party3) breakOff()        { succeed(made.wire.Close()) }
func (made *party3) hasSession() bool { return made.session }

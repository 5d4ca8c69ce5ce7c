package main

import (
	"context"
	"net"
	"net/url"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

// party5 speaks 5 by autopaho.
type party5 struct {
	manager  *autopaho.ConnectionManager
	wire     net.Conn
	messages chan message
	session  bool
	stop     context.CancelFunc
}

func connect5(address string, hello hello) party {
	made := &party5{messages: make(chan message, 100)}
	connected := make(chan bool, 1)
	router := paho.NewSingleHandlerRouter(made.hear)
	config := autopaho.ClientConfig{
		BrokerUrls: []*url.URL{{Scheme: "tcp", Host: address}},
		KeepAlive:  60,
		AttemptConnection: func(_ context.Context, _ autopaho.ClientConfig, uri *url.URL) (net.Conn, error) {
			if made.wire != nil {
				return nil, net.ErrClosed // one connection a party
			}
			wire, err := net.DialTimeout("tcp", uri.Host, patience)
			made.wire = wire
			return wire, err
		},
		OnConnectionUp: func(_ *autopaho.ConnectionManager, connack *paho.Connack) { connected <- connack.SessionPresent },
		ClientConfig:   paho.ClientConfig{ClientID: hello.id, Router: router},
	}
	config.SetConnectPacketConfigurator(func(connect *paho.Connect) *paho.Connect {
		connect.CleanStart = !hello.lasting
		if hello.lasting {
			expiry := uint32(600)
			connect.Properties = &paho.ConnectProperties{SessionExpiryInterval: &expiry}
		}
		return connect
	})
	if hello.willTopic != "" {
		config.SetWillMessage(hello.willTopic, []byte("unexpected exit"), 2, false)
	}
	var life context.Context
	life, made.stop = context.WithCancel(context.Background())
	var err error
	made.manager, err = autopaho.NewConnection(life, config)
	succeed(err)
	within, cancel := context.WithTimeout(life, patience)
	defer cancel()
	succeed(made.manager.AwaitConnection(within))
	made.session = <-connected
	return made
}

func (made *party5) hear(heard *paho.Publish) {
	details := heard.Properties.ContentType
	for _, property := range heard.Properties.User {
		details += " " + property.Key + "=" + property.Value
	}
	made.messages <- message{string(heard.Payload), heard.QoS, heard.Retain, details}
}

// ask runs one exchange with the broker, within patience.
func (made *party5) ask(exchange func(context.Context) error) {
	within, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	succeed(exchange(within))
}

func (made *party5) subscribe(topic string, qos byte) {
	made.ask(func(within context.Context) error {
		wish := []paho.SubscribeOptions{{Topic: topic, QoS: qos}}
		suback, err := made.manager.Subscribe(within, &paho.Subscribe{Subscriptions: wish})
		demand(err != nil || suback.Reasons[0] == qos, "QoS %d was not granted", qos)
		return err
	})
}

func (made *party5) send(packet *paho.Publish) {
	made.ask(func(within context.Context) error {
		_, err := made.manager.Publish(within, packet)
		return err
	})
}

func (made *party5) publish(topic, payload string, qos byte, retained bool) {
	made.send(&paho.Publish{Topic: topic, Payload: []byte(payload), QoS: qos, Retain: retained})
}

func (made *party5) publishDescribed(topic, payload string) {
	properties := &paho.PublishProperties{ContentType: "text/plain"}
	properties.User.Add("place", "home")
	made.send(&paho.Publish{Topic: topic, Payload: []byte(payload), QoS: 1, Properties: properties})
}

func (made *party5) leave() {
	made.ask(made.manager.Disconnect)
	made.stop()
}

func (made *party5) take() message { return takeFrom(made.messages) }

func (made *party5) breakOff() {
	succeed(made.wire.Close())
	made.stop()
}

func (made *party5) hasSession() bool { return made.session }

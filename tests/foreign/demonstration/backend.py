"""The Python client of the demonstration application: paho-mqtt with a will, keep-alive 50.

It publishes its state with retain, sends back what it is sent, and lives until it is killed.
Usage: backend.py HOST PORT
"""

import sys

import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe("to/python", qos=1)


def on_subscribe(client, userdata, mid, reasons, properties):
    client.publish("state", "estoy aquí", qos=1, retain=True)


def on_publish(client, userdata, mid, reason, properties):
    print("published", flush=True)


def on_message(client, userdata, message):
    client.publish("to/node", message.payload[::-1], qos=message.qos)


host, port = sys.argv[1], int(sys.argv[2])
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="pahoClient")
client.will_set("die", "Mensaje final", qos=2, retain=True)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_publish = on_publish
client.on_message = on_message
client.connect(host, port, keepalive=50)
client.loop_forever()

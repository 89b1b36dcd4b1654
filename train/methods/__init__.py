"""The methods: source training, TGMB, TGKT, SHOT and SOCKET, and the losses they are made of."""

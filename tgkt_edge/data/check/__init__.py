"""Do pairs and target frames fit their purpose? What can be measured without labels, and what to do about it."""

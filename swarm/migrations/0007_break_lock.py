from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0006_node_token_budget"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="filelock",
            options={
                "ordering": ["path"],
                "permissions": [("break_lock", "Can break a lock that a node or another person holds")],
            },
        ),
    ]
